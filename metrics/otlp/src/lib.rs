//! Metrics to OpenTelemetry collectors.
//!
//! ```
//! use purlin_metrics::{Push, Registry};
//! use purlin_metrics_otlp::Otlp;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let registry = Registry::new();
//! let collector = Otlp::new(Default::default(), "http://127.0.0.1:1/v1/metrics".parse()?)
//!     .resource("service.name", "greeter");
//! let push = Push::new(&registry, collector);
//! assert!(push.flush().await.is_err(), "nobody listens there");
//! # Ok(())
//! # }
//! ```
//!
//! [`Otlp`] is a [`Backend`]: a [`Push`](purlin_metrics::Push) sends a registry to it. It speaks
//! OTLP 1 over HTTP with Protocol Buffers. All counts and sums are cumulative, from the start of the
//! process, so that what is lost on the way is not lost for good. Histograms have their exemplars.
//!
//! The messages are written out here, since they are a dozen, and the SDK of OpenTelemetry would be
//! a second registry.

mod messages;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full, Limited};
use messages::ExportResponse;
use prost::Message as _;
use purlin_endpoint::BoxError;
use purlin_http_client::HttpClient;
use purlin_metrics::{Backend, Snapshot};

/// Sends to whatever takes OTLP over HTTP: a collector, or a Prometheus with its OTLP receiver.
#[derive(Debug)]
pub struct Otlp {
    client: HttpClient,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    resource: Vec<(String, String)>,
}

/// Of an answer, so much is read.
const ANSWER: usize = 16 * 1024;

impl Otlp {
    /// Sends there by this client, as `http://localhost:4318/v1/metrics`.
    pub fn new(client: HttpClient, uri: Uri) -> Self {
        Self { client, uri, headers: Vec::new(), resource: Vec::new() }
    }

    /// Says something of the process that is measured, as its `service.name`.
    #[must_use]
    pub fn resource(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.resource.push((name.into(), value.into()));
        self
    }

    /// Sends a header with each request, as `authorization`.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl Backend for Otlp {
    async fn push(&mut self, snapshot: &Snapshot) -> Result<(), BoxError> {
        let message = messages::export(snapshot, &self.resource).encode_to_vec();
        let mut request = Request::post(self.uri.clone()).body(Full::new(Bytes::from(message)))?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.extend(self.headers.iter().cloned());
        let (head, body) = self.client.send(request).await?.into_parts();
        let answer = Limited::new(body, ANSWER).collect().await?.to_bytes();
        if !head.status.is_success() {
            return Err(format!("the collector answered {}", head.status).into());
        }
        let refused = ExportResponse::decode(answer)?.partial_success.unwrap_or_default();
        if refused.rejected_data_points > 0 {
            let (points, why) = (refused.rejected_data_points, refused.error_message);
            return Err(format!("{points} data points were refused: {why}").into());
        }
        Ok(())
    }
}
