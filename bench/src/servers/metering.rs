//! What both "full" servers set up: a log, a metrics recorder, a limiter.

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::Level;

const DURATION: &str = "http_requests_duration_seconds";
const SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Sends every line at `INFO` or above to a file, one write each.
pub(super) fn log_to(path: &Path) -> io::Result<()> {
    let file: File = OpenOptions::new().append(true).create(true).open(path)?;
    tracing_subscriber::fmt()
        .with_max_level(Level::INFO)
        .with_ansi(false)
        .with_writer(Arc::new(file))
        .init();
    Ok(())
}

/// Installs the recorder that the `metrics` macros find, and its upkeep.
pub(super) fn install_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(DURATION.to_owned()), SECONDS)?
        .install_recorder()?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

/// Counts one call and its duration under three labels made for the call.
pub(super) fn record(method: String, path: String, status: String, took: Duration) {
    let labels = [("method", method), ("path", path), ("status", status)];
    metrics::counter!("http_requests_total", &labels).increment(1);
    metrics::histogram!(DURATION, &labels).record(took.as_secs_f64());
}

/// A limiter that pays for its decision on every call and never refuses.
pub(super) fn limiter() -> Arc<DefaultDirectRateLimiter> {
    // One call a nanosecond: a shorter interval would round to none and decide nothing.
    const PER_SECOND: NonZeroU32 = NonZeroU32::new(1_000_000_000).unwrap();
    Arc::new(RateLimiter::direct(Quota::per_second(PER_SECOND)))
}
