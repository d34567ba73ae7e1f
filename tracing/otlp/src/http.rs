use http_body_util::{BodyExt as _, Full, Limited};
use opentelemetry_http::{Bytes, HttpError, Request, Response};
use purlin_http_client::HttpClient;

/// What OpenTelemetry's exporters send their requests through.
#[derive(Debug)]
pub(crate) struct Client(pub(crate) HttpClient);

/// The longest answer that is read, as OpenTelemetry's own clients have it.
const LONGEST_ANSWER: usize = 4 << 20;

#[async_trait::async_trait]
impl opentelemetry_http::HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = self.0.send(request.map(Full::new)).await?.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER).collect().await?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}
