//! What is measured, and what others read of it.

#[cfg(feature = "http")]
mod axum;
mod bounds;
mod conformance;
mod costs;
mod exposition;
#[cfg(all(feature = "http", feature = "statsd", feature = "graphite", feature = "influx"))]
mod foreign;
mod handle;
#[cfg(all(feature = "statsd", feature = "graphite", feature = "influx"))]
mod kit;
mod layer;
mod push;
#[cfg(feature = "http")]
mod semconv;
#[cfg(feature = "serde")]
mod serde;
#[cfg(all(feature = "statsd", feature = "graphite", feature = "influx"))]
mod wire;

use purlin_endpoint::{Context, Endpoint, Error, Method, MethodLayer, endpoint_fn};
use purlin_metrics::{Distribution, MetricsLayer, Registry, Snapshot, Value};
use std::time::Duration;
use tokio::time::sleep;
use tower::ServiceBuilder;

static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");
const DURATION: &str = "rpc.server.call.duration";
const ACTIVE: &str = "rpc.server.active_requests";

/// A call that takes so many milliseconds; zero fails as the caller's fault, one as the server's.
async fn work(_: Context, millis: u64) -> Result<u64, Error> {
    sleep(Duration::from_millis(millis)).await;
    match millis {
        0 => Err(Error::invalid("millis", "is zero")),
        1 => Err(Error::internal(std::io::Error::other("one"))),
        millis => Ok(millis),
    }
}

/// The endpoint with this layer around it.
fn measured<C>(layer: MetricsLayer<C>) -> impl Endpoint<u64, Response = u64, Error = Error>
where
    C: purlin_endpoint::Classify<u64, Error>,
{
    ServiceBuilder::new().layer(MethodLayer::new(&GREETING)).layer(layer).service(endpoint_fn(work))
}

/// The series of a metric, each as its labels in one text and what it has come to.
fn series(snapshot: &Snapshot, name: &str) -> Vec<(String, Value)> {
    let Some(family) = snapshot.family(name) else { return Vec::new() };
    let text = |labels: &purlin_metrics::Labels| {
        labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
    };
    family.series.iter().map(|series| (text(&series.labels), series.value.clone())).collect()
}

/// The histograms of a metric, each with its labels, count and sum.
fn counted(registry: &Registry, name: &str) -> Vec<(String, u64, f64)> {
    let series = series(&registry.snapshot(), name).into_iter();
    let counted = |counted: &Distribution| (counted.count(), counted.sum());
    series
        .map(|(labels, value)| match value {
            Value::Histogram(value) => (labels, counted(&value).0, counted(&value).1),
            other => panic!("{other:?} is no histogram"),
        })
        .collect()
}
