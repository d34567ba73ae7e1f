//! Everything at once: a line, metrics, breaker, limiter, a span that is not recorded, a deadline.

use std::error::Error;
use std::hint::black_box;
use std::io;
use std::time::Duration;

use purlin::{
    BoxEndpoint, Context, Endpoint, Layer as _, Method, MethodLayer, Peer, Request,
    circuitbreaker::CircuitBreaker,
    endpoint_fn,
    log::{LogLayer, Logger},
    metrics::{MetricsLayer, Registry},
    ratelimit::RateLimit,
    timeout::Timeout,
    tracing::{Sampling, Tracing, TracingLayer},
};
use tower::{Service as _, ServiceBuilder, ServiceExt as _};

use super::Micro;

static METHOD: Method = Method::unary("bench.Bench", "Add");

/// What a service has around a method, from the span to the deadline.
///
/// # Errors
///
/// If a layer can't be set up.
pub fn around<Req, S>(
    method: &'static Method,
    log: Logger,
    inner: S,
) -> Result<
    impl Endpoint<Req, Response = S::Response, Error = purlin::Error> + use<Req, S>,
    Box<dyn Error + Send + Sync>,
>
where
    Req: Send + 'static,
    S: Endpoint<Req, Error = purlin::Error>,
{
    let (tracer, _) = Tracing::new("bench").sampling(Sampling::never()).tracer()?;
    let stack = ServiceBuilder::new()
        .layer(MethodLayer::new(method))
        .layer(TracingLayer::server(&tracer))
        .layer(LogLayer::new(log))
        .layer(MetricsLayer::new(Registry::new()))
        // It never refuses here: a refusal is another, shorter way.
        .layer(RateLimit::per_second(1e9).burst(u32::MAX).layer()?)
        .layer(CircuitBreaker::new().layer()?)
        .layer(Timeout::new(Duration::from_secs(10)).layer()?);
    Ok(stack.service(inner))
}

/// # Errors
///
/// If a layer can't be set up.
pub(super) fn rows(micro: &mut impl Micro) -> Result<(), Box<dyn Error>> {
    let add =
        endpoint_fn(|_: Context, n: u64| async move { Ok::<_, purlin::Error>(black_box(n) + 1) });
    let named = MethodLayer::new(&METHOD).layer(add);
    let chain = around(&METHOD, Logger::logfmt(io::sink()), add)
        .map_err(|error| -> Box<dyn Error> { error })?;
    micro.row("no-op endpoint with its method", || {
        let mut own = named;
        async move || own.ready().await?.call(asked()).await
    });
    micro.row("chain: span unsampled, line, metrics, limiter, breaker, timeout", || {
        let mut own = chain.clone();
        async move || own.ready().await?.call(asked()).await
    });
    let boxed = BoxEndpoint::new(chain.clone());
    micro.row("the same chain, BoxEndpoint", || {
        let mut own = boxed.clone();
        async move || own.ready().await?.call(asked()).await
    });
    Ok(())
}

/// A call as a transport makes it.
fn asked() -> Request<u64> {
    let peer = Peer::Tcp(([127, 0, 0, 1], 4711).into());
    Request::new(Context::new().with_method(&METHOD).with_peer(peer), black_box(1))
}
