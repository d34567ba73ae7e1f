//! A composable toolkit for microservices.
//!
//! ```
//! use purlin::{Context, Endpoint as _, Error, endpoint_fn};
//!
//! # tokio_test::block_on(async {
//! let greet = endpoint_fn(|_: Context, name: &'static str| async move {
//!     Ok::<_, Error>(format!("Hello, {name}!"))
//! });
//!
//! assert_eq!(greet.invoke(Context::default(), "Ann").await?, "Hello, Ann!");
//! # Ok::<_, Error>(())
//! # }).unwrap();
//! ```
//!
//! This crate is a facade: it re-exports `purlin-endpoint` as its own items and each other crate of
//! the project as a module, behind a feature named like its folder. No feature is on by default. A
//! library that needs one thing depends on that one crate.
//!
//! # A tour
//!
//! 1. **The service** is a plain Rust trait and what implements it. It knows nothing of Purlin.
//! 2. **An endpoint** is one of its methods: an async function from a [`Context`] and a message to
//!    a response or an [`Error`], made with [`endpoint_fn`] and declared as a [`Method`].
//! 3. **Layers** stand around it, the first one outermost: each refuses, observes or changes a
//!    call. They are tower layers, and work on any tower service.
//! 4. **[`BoxEndpoint`]** forgets the stack's type, once and last, so that it can be stored.
//! 5. **A transport** decodes what comes in, calls the endpoint, and encodes what comes out:
//!    `transport_http`, `transport_grpc`. Each has one table from [`Code`] to its own status.
//! 6. **`serve`** accepts connections, limits and times them, and drains them at the end; `run`
//!    starts all parts together and stops them in order.
//! 7. **A client** is the same upside down: an endpoint that encodes, sends and decodes, with the
//!    same layers around it.
//!
//! The greeter, in the project's `examples/`, is all of this in one screen each.

pub use purlin_endpoint::*;

#[cfg(feature = "admin")]
pub use purlin_admin as admin;
#[cfg(feature = "auth")]
pub use purlin_auth as auth;
#[cfg(feature = "auth-casbin")]
pub use purlin_auth_casbin as auth_casbin;
#[cfg(feature = "balancer")]
pub use purlin_balancer as balancer;
#[cfg(feature = "circuitbreaker")]
pub use purlin_circuitbreaker as circuitbreaker;
#[cfg(feature = "concurrency")]
pub use purlin_concurrency as concurrency;
#[cfg(feature = "health")]
pub use purlin_health as health;
#[cfg(feature = "http-client")]
pub use purlin_http_client as http_client;
#[cfg(feature = "log")]
pub use purlin_log as log;
#[cfg(feature = "metrics")]
pub use purlin_metrics as metrics;
#[cfg(feature = "metrics-cloudwatch")]
pub use purlin_metrics_cloudwatch as metrics_cloudwatch;
#[cfg(feature = "metrics-otlp")]
pub use purlin_metrics_otlp as metrics_otlp;
#[cfg(feature = "ratelimit")]
pub use purlin_ratelimit as ratelimit;
#[cfg(feature = "ratelimit-redis")]
pub use purlin_ratelimit_redis as ratelimit_redis;
#[cfg(feature = "retry")]
pub use purlin_retry as retry;
#[cfg(feature = "run")]
pub use purlin_run as run;
#[cfg(feature = "sd")]
pub use purlin_sd as sd;
#[cfg(feature = "sd-consul")]
pub use purlin_sd_consul as sd_consul;
#[cfg(feature = "sd-dns")]
pub use purlin_sd_dns as sd_dns;
#[cfg(feature = "sd-etcd")]
pub use purlin_sd_etcd as sd_etcd;
#[cfg(feature = "sd-mdns")]
pub use purlin_sd_mdns as sd_mdns;
#[cfg(feature = "serve")]
pub use purlin_serve as serve;
#[cfg(feature = "timeout")]
pub use purlin_timeout as timeout;
#[cfg(feature = "tls")]
pub use purlin_tls as tls;
#[cfg(feature = "tracing")]
pub use purlin_tracing as tracing;
#[cfg(feature = "tracing-otlp")]
pub use purlin_tracing_otlp as tracing_otlp;
#[cfg(feature = "tracing-zipkin")]
pub use purlin_tracing_zipkin as tracing_zipkin;
#[cfg(feature = "transport-grpc")]
pub use purlin_transport_grpc as transport_grpc;
#[cfg(feature = "transport-http")]
pub use purlin_transport_http as transport_http;

/// What nearly every file that defines endpoints uses.
pub mod prelude {
    pub use purlin_endpoint::{Code, Context, Endpoint, Error};
}
