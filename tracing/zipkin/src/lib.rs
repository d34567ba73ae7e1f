//! Spans sent to Zipkin.
//!
//! ```
//! use purlin_tracing::{Sampling, Tracing};
//! use purlin_tracing_zipkin::Zipkin;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (tracer, spans) = Tracing::new("greeter").sampling(Sampling::ratio(0.1)).tracer()?;
//! let zipkin = Zipkin::new("http://127.0.0.1:9411/api/v2/spans".parse()?);
//! // An actor of the process: it ends when it is told to stop, after a last flush.
//! let stop = async {};
//! spans.export(zipkin, stop).await;
//! assert_eq!(tracer.handle().dropped(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! [`Zipkin`] writes spans as [Zipkin's JSON, version 2](https://zipkin.io/zipkin-api/), in the way
//! that [OpenTelemetry maps](https://opentelemetry.io/docs/specs/otel/trace/sdk_exporters/zipkin/)
//! them: attributes are tags, events annotations, a failure the tag `error`, the other side's
//! address the remote endpoint. It speaks HTTP through
//! [`purlin_http_client`], and `https` with the feature `rustls`.
//!
//! A server that can't be reached, is too busy or fails gets the same spans again; what it refuses
//! is given up. Clones share their connections.

mod json;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use purlin_endpoint::{Code, Error};
use purlin_http_client::HttpClient;
use purlin_tracing::{Export, Resource, Span};

/// Sends spans to a Zipkin server, or to whatever takes its JSON.
#[derive(Clone, Debug)]
pub struct Zipkin {
    uri: Uri,
    client: HttpClient,
}

impl Zipkin {
    /// Sends spans here, as in `http://127.0.0.1:9411/api/v2/spans`.
    pub fn new(uri: Uri) -> Self {
        Self { uri, client: HttpClient::new() }
    }

    /// Sends them through this client.
    #[must_use]
    pub fn client(self, client: HttpClient) -> Self {
        Self { client, ..self }
    }

    fn request(&self, body: Vec<u8>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = http::Method::POST;
        request.uri_mut().clone_from(&self.uri);
        let json = http::HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        request
    }
}

/// An answer is read to its end, so that the connection can be used again; but not if it is longer.
const LONGEST_ANSWER: usize = 64 * 1024;

impl Export for Zipkin {
    async fn export(&mut self, resource: &Resource, spans: &[Span]) -> Result<(), Error> {
        let body = json::write(resource, spans).map_err(Error::internal)?;
        let unavailable = |error| Error::new(Code::Unavailable, error);
        let (head, body) =
            self.client.send(self.request(body)).await.map_err(unavailable)?.into_parts();
        let answer = Limited::new(body, LONGEST_ANSWER).collect().await;
        match head.status {
            status if status.is_success() => Ok(()),
            status => {
                let said = answer.map(Collected::to_bytes).unwrap_or_default();
                let said = String::from_utf8_lossy(&said).into_owned();
                Err(Error::new(code(status), format!("{status}: {said}")))
            }
        }
    }
}

/// What may be tried again is `UNAVAILABLE`.
fn code(status: StatusCode) -> Code {
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Code::Unavailable,
        status if status.is_server_error() => Code::Unavailable,
        _ => Code::InvalidArgument,
    }
}
