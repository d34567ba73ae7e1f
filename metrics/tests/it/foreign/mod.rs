//! Each back end against its server: what was counted is read back from there.

mod graphite;
mod influx;
mod process;
mod prometheus;
mod statsd;

use metrics::with_local_recorder;
use purlin_http_client::HttpClient;
use purlin_metrics::Registry;

/// Durations whose sums are exact: 2.5 s in 7 calls.
const TOOK: [f64; 7] = [0.125, 0.125, 0.25, 0.25, 0.25, 0.5, 1.0];

/// Counts seven jobs and how long they took, with a label.
fn work(registry: &Registry) {
    with_local_recorder(registry, || {
        metrics::describe_histogram!("took", metrics::Unit::Seconds, "How long jobs took.");
        for took in TOOK {
            metrics::counter!("jobs", "queue" => "mail").increment(1);
            metrics::histogram!("took", "queue" => "mail").record(took);
        }
        metrics::gauge!("waiting").set(3.0);
    });
}

async fn get(port: u16, path: &str) -> Option<String> {
    let uri = format!("http://127.0.0.1:{port}{path}").parse().unwrap();
    let answer = HttpClient::new().get_bytes(uri, 1 << 20).await.ok()?;
    answer.status().is_success().then(|| String::from_utf8(answer.into_body().to_vec()).unwrap())
}

/// Escapes what can't stand in a query.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}
