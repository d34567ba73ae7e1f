//! Layers that refuse, wait or repeat, each around the same no-op, beside its peers.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use purlin_circuitbreaker::CircuitBreaker;
use purlin_concurrency::{AdaptiveLimit, ConcurrencyLimit};
use purlin_endpoint::{
    BoxError, Context, Endpoint, Error, Invalid, Method, MethodLayer, Peer, Request, endpoint_fn,
};
use purlin_ratelimit::{Key, RateLimit};
use purlin_retry::Retry;
use purlin_timeout::Timeout;
use tower::retry::budget::{Budget, TpsBudget};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_resilience::circuitbreaker::CircuitBreakerLayer;
use tower_resilience::ratelimiter::RateLimiterLayer;

use super::Micro;

static METHOD: Method = Method::unary("bench.Bench", "Call").idempotent();

/// More calls a second than any machine makes: no row is ever refused.
const PLENTY: u32 = 1_000_000_000;

async fn add_one(n: u64) -> Result<u64, Error> {
    Ok(black_box(n) + 1)
}

/// Measures each layer.
///
/// # Errors
///
/// If a layer's settings make no sense, which would be a mistake in this file.
pub(super) fn rows(micro: &mut impl Micro) -> Result<(), Invalid> {
    let bare = endpoint_fn(|_: Context, n: u64| add_one(n));
    ours(micro, "no-op", &bare);
    ours(micro, "no-op, method named", &MethodLayer::new(&METHOD).layer(bare));
    breakers(micro, bare)?;
    limiters(micro, bare)?;
    let room = ConcurrencyLimit::new(100).layer()?;
    ours(micro, "purlin concurrency", &room.layer(bare));
    let adaptive = ConcurrencyLimit::new(AdaptiveLimit::gradient()).layer()?;
    ours(micro, "purlin concurrency, adaptive", &adaptive.layer(bare));
    theirs(micro, "tower concurrency limit", &tower::limit::ConcurrencyLimit::new(noop(), 100));
    let retry = ServiceBuilder::new()
        .layer(MethodLayer::new(&METHOD))
        .layer(Retry::attempts(3).layer()?)
        .service(bare);
    ours(micro, "purlin retry with budget", &retry);
    let budget = Arc::new(TpsBudget::default());
    theirs(micro, "tower retry with budget", &tower::retry::Retry::new(Twice(budget), noop()));
    let hour = Duration::from_secs(3600);
    // A deadline goes into a context that a transport has made already, as the method's name does.
    let timeout = ServiceBuilder::new()
        .layer(MethodLayer::new(&METHOD))
        .layer(Timeout::new(hour).layer()?)
        .service(bare);
    ours(micro, "purlin timeout", &timeout);
    theirs(micro, "tower timeout", &tower::timeout::Timeout::new(noop(), hour));
    Ok(())
}

fn breakers<S>(micro: &mut impl Micro, bare: S) -> Result<(), Invalid>
where
    S: Endpoint<u64, Response = u64, Error = Error>,
{
    let breaker = CircuitBreaker::new().layer()?;
    ours(micro, "purlin breaker", &breaker.layer(bare.clone()));
    let named = ServiceBuilder::new().layer(MethodLayer::new(&METHOD)).layer(breaker);
    ours(micro, "purlin breaker, by method", &named.service(bare));
    if let Ok(layer) = CircuitBreakerLayer::builder().build() {
        theirs(micro, "tower-resilience breaker", &layer.layer(noop()));
    }
    Ok(())
}

fn limiters<S>(micro: &mut impl Micro, bare: S) -> Result<(), Invalid>
where
    S: Endpoint<u64, Response = u64, Error = Error>,
{
    let limit = RateLimit::per_second(PLENTY).burst(PLENTY);
    ours(micro, "purlin limiter", &limit.layer()?.layer(bare.clone()));
    let keyed = limit.by(|context| Some(Key::from(context.peer()?.address()?.ip()))).layer()?;
    let peer = Context::new().with_peer(Peer::Tcp(([127, 0, 0, 1], 9).into()));
    let inner = keyed.layer(bare);
    micro.row("purlin limiter, by address", || {
        let (mut own, peer) = (inner.clone(), peer.clone());
        async move || own.ready().await?.call(Request::new(peer.clone(), black_box(1))).await
    });
    let quota = Quota::per_second(NonZeroU32::MAX);
    let governor: DefaultDirectRateLimiter = RateLimiter::direct(quota);
    micro.row("governor, without a layer", || async || governor.check().is_ok());
    let keyed: DefaultKeyedRateLimiter<u32> = RateLimiter::keyed(quota);
    micro.row("governor keyed, without a layer", || async || keyed.check_key(&7).is_ok());
    let theirs_limit = RateLimiterLayer::builder()
        .limit_for_period(usize::MAX >> 1)
        .refresh_period(Duration::from_secs(1))
        .build();
    if let Ok(layer) = theirs_limit {
        theirs(micro, "tower-resilience limiter", &layer.layer(noop()));
    }
    Ok(())
}

/// One of ours: each thread calls a clone of its own, as each connection does.
fn ours<S>(micro: &mut impl Micro, name: &str, service: &S)
where
    S: Endpoint<u64, Response = u64, Error = Error>,
{
    micro.row(name, || {
        let mut own = service.clone();
        async move || own.ready().await?.call(Request::new(Context::new(), black_box(1))).await
    });
}

/// One of theirs, called alike.
fn theirs<S>(micro: &mut impl Micro, name: &str, service: &S)
where
    S: Service<u64, Response = u64> + Clone + Sync,
{
    micro.row(name, || {
        let mut own = service.clone();
        async move || own.ready().await?.call(black_box(1)).await
    });
}

/// The no-op for layers of others, which box their errors.
fn noop()
-> impl Service<u64, Response = u64, Error = BoxError, Future: Send> + Clone + Send + Sync + 'static
{
    service_fn(|n: u64| async move { Ok::<_, BoxError>(black_box(n) + 1) })
}

/// Tries again once, if the budget has something left.
#[derive(Clone)]
struct Twice(Arc<TpsBudget>);

impl tower::retry::Policy<u64, u64, BoxError> for Twice {
    type Future = std::future::Ready<()>;

    fn retry(&mut self, _: &mut u64, result: &mut Result<u64, BoxError>) -> Option<Self::Future> {
        if result.is_ok() {
            self.0.deposit();
            return None;
        }
        self.0.withdraw().then(|| std::future::ready(()))
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}
