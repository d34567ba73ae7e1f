//! Metrics to Amazon CloudWatch.
//!
//! ```
//! use purlin_metrics::{Push, Registry};
//! use purlin_metrics_cloudwatch::{CloudWatch, Credentials};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let registry = Registry::new();
//! metrics::with_local_recorder(&registry, || metrics::counter!("jobs").increment(1));
//! // In Amazon's cloud: https://monitoring.eu-west-1.amazonaws.com/
//! let endpoint = "http://127.0.0.1:1/".parse()?;
//! let credentials = || Credentials::new("AKID", "secret");
//! let cloudwatch = CloudWatch::new(Default::default(), endpoint, "eu-west-1", credentials);
//! let push = Push::new(&registry, cloudwatch.namespace("Greeter"));
//! assert!(push.flush().await.is_err(), "nobody listens there");
//! # Ok(())
//! # }
//! ```
//!
//! [`CloudWatch`] is a [`Backend`]: a [`Push`](purlin_metrics::Push) sends a registry to it, by
//! `PutMetricData`. Counters and histograms are sent as what was counted since the last time, gauges
//! as they are. A histogram is sent by its buckets, as the mean of each and how often it came: its
//! `SampleCount` and `Sum` are exact, and CloudWatch can tell percentiles. Its `Minimum` and
//! `Maximum` are those of the means.
//!
//! What is accepted is sent once: batches that CloudWatch did not take are kept, for one interval's
//! worth, and sent first the next time. Requests are signed here (Signature Version 4, forty lines
//! over ring), since the maintained crate for it brings fifty others.

mod data;
mod sign;

pub use sign::Credentials;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use purlin_endpoint::BoxError;
use purlin_http_client::HttpClient;
use purlin_metrics::{Backend, Deltas, Snapshot};
use std::{collections::VecDeque, fmt, time::SystemTime};

/// Sends to CloudWatch.
pub struct CloudWatch {
    client: HttpClient,
    endpoint: Uri,
    region: String,
    credentials: Box<dyn Fn() -> Credentials + Send + Sync>,
    namespace: String,
    batch: usize,
    deltas: Deltas,
    /// Bodies of requests that were not taken yet.
    pending: VecDeque<String>,
}

/// Of an answer, so much is read.
const ANSWER: usize = 16 * 1024;

impl CloudWatch {
    /// Sends there by this client. Credentials are asked for at each request, so that they may
    /// change.
    pub fn new<F>(client: HttpClient, endpoint: Uri, region: &str, credentials: F) -> Self
    where
        F: Fn() -> Credentials + Send + Sync + 'static,
    {
        Self {
            client,
            endpoint,
            region: region.to_owned(),
            credentials: Box::new(credentials),
            namespace: "Purlin".to_owned(),
            batch: 150,
            deltas: Deltas::new(),
            pending: VecDeque::new(),
        }
    }

    /// The namespace of the metrics. Default: `Purlin`.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sends so many data at once, of the 1,000 that CloudWatch takes. Default: 150, with which
    /// requests stay well below its megabyte.
    #[must_use]
    pub fn batch(mut self, data: usize) -> Self {
        self.batch = data.clamp(1, 1000);
        self
    }

    async fn send(&self, body: &str) -> Result<(), Refused> {
        let unsent = |error: BoxError| Refused { error, again: true };
        let mut request = Request::post(self.endpoint.clone())
            .body(Full::new(Bytes::from(body.to_owned())))
            .map_err(|error| unsent(error.into()))?;
        let host = self.endpoint.authority().map_or("", http::uri::Authority::as_str);
        let headers = (self.credentials)()
            .sign(host, &self.region, "monitoring", body, SystemTime::now())
            .map_err(unsent)?;
        request.headers_mut().extend(headers);
        let answer = self.client.send(request).await.map_err(|error| unsent(error.into()))?;
        let (head, body) = answer.into_parts();
        let text = Limited::new(body, ANSWER).collect().await.map_err(unsent)?.to_bytes();
        if head.status.is_success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&text);
        // What is malformed stays so; everything else may be taken another time.
        let again = head.status != StatusCode::BAD_REQUEST || text.contains("Throttling");
        Err(Refused { error: format!("{}: {text}", head.status).into(), again })
    }
}

struct Refused {
    error: BoxError,
    again: bool,
}

impl Backend for CloudWatch {
    async fn push(&mut self, snapshot: &Snapshot) -> Result<(), BoxError> {
        // What was left goes first, and what came since goes too: this may be the last time.
        self.send_pending().await?;
        let delta = self.deltas.take(snapshot);
        self.pending = data::bodies(&delta, &self.namespace, self.batch).into();
        self.send_pending().await
    }
}

impl CloudWatch {
    async fn send_pending(&mut self) -> Result<(), BoxError> {
        while let Some(body) = self.pending.front() {
            let sent = self.send(body).await;
            if sent.as_ref().err().is_none_or(|refused| !refused.again) {
                self.pending.pop_front();
            }
            sent.map_err(|refused| refused.error)?;
        }
        Ok(())
    }
}

impl fmt::Debug for CloudWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudWatch")
            .field("endpoint", &self.endpoint)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}
