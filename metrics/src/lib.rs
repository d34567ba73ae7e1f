//! Rate, errors, duration and in-flight of calls.
//!
//! ```
//! use purlin_endpoint::{Context, Endpoint as _, Error, Method, MethodLayer, endpoint_fn};
//! use purlin_metrics::{Exposition, MetricsLayer, Registry};
//! use tower::ServiceBuilder;
//!
//! static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");
//!
//! # tokio_test::block_on(async {
//! let registry = Registry::new();
//! let greet = ServiceBuilder::new()
//!     .layer(MethodLayer::new(&GREETING))
//!     .layer(MetricsLayer::new(registry.clone()))
//!     .service(endpoint_fn(|_: Context, _: &'static str| async move {
//!         Err::<String, _>(Error::invalid("name", "is missing"))
//!     }));
//!
//! greet.invoke(Context::default(), "").await.unwrap_err();
//! let page = Exposition::Text.render(&registry.snapshot());
//! assert!(page.contains(
//!     "rpc_server_call_duration_seconds_count{rpc_method=\"greeter.Greeter/Greeting\",\
//!      rpc_response_status_code=\"INVALID_ARGUMENT\",rpc_system_name=\"purlin\"} 1\n"
//! ));
//! # });
//! ```
//!
//! A [`MetricsLayer`] measures each call that passes it, under the names of OpenTelemetry's
//! [conventions](semconv). It refuses nothing and changes nothing; its clones, and all that they
//! wrap, count into the same series. Labels are methods and codes, which no caller can invent.
//!
//! It records into any [`metrics::Recorder`]. The [`Registry`] is one, made of atomics, and all
//! back ends read its [`Snapshot`]s: [`Exposition`] writes what Prometheus scrapes, and a [`Push`]
//! sends to a [`Backend`], of which there are `StatsD`, `Graphite` and `Influx` here, and more in
//! crates of their own. Nothing is global and nothing is installed; `metrics::NoopRecorder`
//! discards.
//!
//! # Features
//!
//! - `http`: `Scrape`, which answers Prometheus, and `HttpMetricsLayer`, for requests and responses
//!   of HTTP.
//! - `statsd`, `graphite`, `influx`: back ends to push to.
//! - `serde`: [`Buckets`] in configuration files.

mod buckets;
mod cell;
mod expvar;
mod flat;
#[cfg(feature = "graphite")]
mod graphite;
mod handle;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "influx")]
mod influx;
mod json;
mod labels;
mod layer;
mod prometheus;
mod push;
mod recorder;
mod registry;
pub mod semconv;
#[cfg(feature = "http")]
mod service;
mod sink;
mod snapshot;
#[cfg(feature = "statsd")]
mod statsd;
mod table;

#[cfg(feature = "http")]
pub use crate::http::{HttpMetricsLayer, Requesting, Requests};
pub use buckets::Buckets;
#[cfg(feature = "graphite")]
pub use graphite::Graphite;
pub use handle::Handle;
#[cfg(feature = "influx")]
pub use influx::Influx;
pub use layer::{Calls, Measuring, MetricsLayer};
pub use prometheus::Exposition;
pub use push::{Backend, Deltas, Push, PushHandle};
pub use recorder::Fanout;
pub use registry::Registry;
#[cfg(feature = "http")]
pub use service::Scrape;
pub use snapshot::{Bucket, Distribution, Exemplar, Family, Kind, Labels, Series, Snapshot, Value};
#[cfg(feature = "statsd")]
pub use statsd::StatsD;
