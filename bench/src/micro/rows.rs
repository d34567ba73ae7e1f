//! The rows: to add one, call `micro.row` with a name and a maker.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::Arc;
use std::task::{self, Poll};

use purlin_endpoint::{
    BoxEndpoint, Call, Context, End, Endpoint, Guard, Intercept, InterceptLayer, Request,
    endpoint_fn,
};
use tokio::time::Instant;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, layer::layer_fn};

use super::{Micro, balancing, chain, resilience};

/// Measures every row, in the order of the table.
///
/// # Errors
///
/// If a row can't be set up.
pub fn rows(micro: &mut impl Micro) -> Result<(), Box<dyn Error>> {
    functions(micro);
    purlin_stacks(micro);
    tower_stacks(micro);
    resilience::rows(micro)?;
    balancing::rows(micro)?;
    chain::rows(micro)?;
    Ok(())
}

async fn add_one(n: u64) -> Result<u64, Infallible> {
    Ok(black_box(n) + 1)
}

fn functions(micro: &mut impl Micro) {
    micro.row("bare async fn", || async || add_one(black_box(1)).await);
}

fn purlin_stacks(micro: &mut impl Micro) {
    let bare = endpoint_fn(|_: Context, n: u64| add_one(n));
    micro.row("purlin endpoint, no layer, &mut", || {
        let mut own = bare;
        async move || own.ready().await?.call(asked()).await
    });

    let plain = five_observers(bare);
    micro.row("purlin, 5 no-op layers, invoke", || {
        async || plain.invoke(Context::new(), black_box(1)).await
    });
    micro.row("purlin, 5 no-op layers, &mut", || {
        let mut own = plain.clone();
        async move || own.ready().await?.call(asked()).await
    });

    let boxed = BoxEndpoint::new(plain.clone());
    micro.row("purlin BoxEndpoint, 5 no-op layers, invoke", || {
        async || boxed.invoke(Context::new(), black_box(1)).await
    });
    micro.row("purlin BoxEndpoint, 5 no-op layers, &mut", || {
        let mut own = boxed.clone();
        async move || own.ready().await?.call(asked()).await
    });

    let timed = five_timers(bare);
    micro.row("purlin, 5 layers that time the call, &mut", || {
        let mut own = timed.clone();
        async move || own.ready().await?.call(asked()).await
    });
}

fn asked() -> Request<u64> {
    Request::new(Context::new(), black_box(1))
}

/// An endpoint inside five layers that let every call in and do nothing afterwards.
fn five_observers(
    inner: impl Endpoint<u64, Response = u64, Error = Infallible>,
) -> impl Endpoint<u64, Response = u64, Error = Infallible> {
    let layer = || InterceptLayer::observer(Nothing);
    ServiceBuilder::new()
        .layer(layer())
        .layer(layer())
        .layer(layer())
        .layer(layer())
        .layer(layer())
        .service(inner)
}

struct Nothing;

impl<Req> Intercept<Req> for Nothing {
    type Guard = ();
    type Refusal = Infallible;

    fn before(self: &Arc<Self>, _: &mut Req) -> Result<(), Infallible> {
        Ok(())
    }
}

/// An endpoint inside five layers that each measure how long the call takes.
fn five_timers(
    inner: impl Endpoint<u64, Response = u64, Error = Infallible>,
) -> impl Endpoint<u64, Response = u64, Error = Infallible> {
    let layer = || InterceptLayer::observer(Timer);
    ServiceBuilder::new()
        .layer(layer())
        .layer(layer())
        .layer(layer())
        .layer(layer())
        .layer(layer())
        .service(inner)
}

struct Timer;

struct Timing(Instant);

impl<Req: Call> Intercept<Req> for Timer {
    type Guard = Timing;
    type Refusal = Infallible;

    fn before(self: &Arc<Self>, request: &mut Req) -> Result<Timing, Infallible> {
        Ok(Timing(request.started()))
    }
}

impl<Res, Err> Guard<Res, Err> for Timing {
    fn end(self, end: End<'_>) {
        black_box(end.took(self.0));
    }
}

/// The same stacks twice: of layers that keep nothing, and of layers that share a state with
/// their clones, as a limiter or ours do, over whose reference counts two threads then contend.
fn tower_stacks(micro: &mut impl Micro) {
    tower_stack(micro, "5 no-op layers", &five_layers(|| ()));
    tower_stack(micro, "5 no-op layers with an Arc each", &five_layers(|| Arc::new(())));
}

fn tower_stack<S>(micro: &mut impl Micro, what: &str, stack: &S)
where
    S: Service<u64, Response = u64, Error = Infallible, Future: Send>,
    S: Clone + Send + Sync + 'static,
{
    micro.row(&format!("tower, {what}, clone + oneshot"), || {
        async || stack.clone().oneshot(black_box(1)).await
    });
    micro.row(&format!("tower, {what}, &mut"), || {
        let mut own = stack.clone();
        async move || own.ready().await?.call(black_box(1)).await
    });

    let boxed = BoxCloneSyncService::new(stack.clone());
    micro.row(&format!("tower BoxCloneSyncService, {what}, clone + oneshot"), || {
        async || boxed.clone().oneshot(black_box(1)).await
    });
    micro.row(&format!("tower BoxCloneSyncService, {what}, &mut"), || {
        let mut own = boxed.clone();
        async move || own.ready().await?.call(black_box(1)).await
    });
}

/// A function inside five layers that pass every call on.
fn five_layers<K: Clone + Send + Sync + 'static>(
    kept: fn() -> K,
) -> impl Service<u64, Response = u64, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
    ServiceBuilder::new()
        .layer(noop(kept()))
        .layer(noop(kept()))
        .layer(noop(kept()))
        .layer(noop(kept()))
        .layer(noop(kept()))
        .service(Add { step: black_box(1) })
}

/// The function as a service. It holds a number because a box of nothing would not allocate.
#[derive(Clone)]
struct Add {
    step: u64,
}

impl Service<u64> for Add {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, n: u64) -> Self::Future {
        ready(Ok(n + self.step))
    }
}

/// A service, and what its layer keeps.
#[derive(Clone)]
struct Noop<S, K>(S, K);

fn noop<S, K: Clone>(kept: K) -> impl Layer<S, Service = Noop<S, K>> {
    layer_fn(move |inner| Noop(inner, kept.clone()))
}

impl<S: Service<R>, R, K> Service<R> for Noop<S, K> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}
