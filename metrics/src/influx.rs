use crate::{Backend, Deltas, Labels, Snapshot, Value, flat};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use purlin_endpoint::BoxError;
use purlin_http_client::HttpClient;
use std::{fmt::Write as _, time::SystemTime};

/// Sends to InfluxDB over HTTP, in its line protocol.
///
/// A metric is a measurement and its labels are tags. A counter is the field `count`, a gauge
/// `value`, a histogram `count`, `sum`, `p50`, `p90`, `p95` and `p99`. Counts and sums are since the
/// start of the process (`non_negative_derivative` shows their rate), so that what is lost on the
/// way is not lost for good; quantiles are of what came since the last push.
#[derive(Debug)]
pub struct Influx {
    client: HttpClient,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    deltas: Deltas,
}

/// Of an answer, so much is read.
const ANSWER: usize = 16 * 1024;

impl Influx {
    /// Writes there by this client, as `http://localhost:8086/write?db=greeter`, or for version 2
    /// `http://localhost:8086/api/v2/write?org=o&bucket=b`. The precision is nanoseconds.
    pub fn new(client: HttpClient, uri: Uri) -> Self {
        Self { client, uri, headers: Vec::new(), deltas: Deltas::new() }
    }

    /// Sends a header with each request, as `authorization: Token …`.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn lines(total: &Snapshot, recent: &Snapshot) -> String {
        let at = total.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let mut lines = String::new();
        // Writing into a string can't fail.
        flat::pairs(total, recent, |name, series, recent| {
            let mut fields = Vec::new();
            match &series.value {
                Value::Count(count) => fields.push(("count", *count as f64)),
                Value::Number(number) => fields.push(("value", *number)),
                Value::Histogram(counted) => {
                    fields.push(("count", counted.count() as f64));
                    fields.push(("sum", counted.sum()));
                    fields.extend(flat::quantiles(recent));
                }
            }
            let fields: Vec<String> = fields
                .into_iter()
                .filter(|(_, value)| value.is_finite())
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            if !fields.is_empty() {
                let tags = tags(&series.labels);
                let _ = writeln!(lines, "{}{tags} {} {at}", escaped(name), fields.join(","));
            }
        });
        lines
    }
}

/// A tag can't be without a value.
fn tags(labels: &Labels) -> String {
    let tags = labels.iter().filter(|(_, value)| !value.is_empty());
    tags.map(|(name, value)| format!(",{}={}", escaped(name), escaped(value))).collect()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ',' | '=' | ' ' => out.extend(['\\', c]),
            // At the end of a value it would take the next separator with it, and there is no
            // escape for it.
            '\\' => out.push('/'),
            c if c.is_control() => out.push('_'),
            c => out.push(c),
        }
    }
    out
}

impl Backend for Influx {
    async fn push(&mut self, snapshot: &Snapshot) -> Result<(), BoxError> {
        let lines = Self::lines(snapshot, &self.deltas.take(snapshot));
        if lines.is_empty() {
            return Ok(());
        }
        let mut request = Request::post(self.uri.clone()).body(Full::new(Bytes::from(lines)))?;
        request.headers_mut().extend(self.headers.iter().cloned());
        let (head, body) = self.client.send(request).await?.into_parts();
        let answer = Limited::new(body, ANSWER).collect().await?.to_bytes();
        if head.status.is_success() {
            return Ok(());
        }
        Err(format!("{}: {}", head.status, String::from_utf8_lossy(&answer)).into())
    }
}
