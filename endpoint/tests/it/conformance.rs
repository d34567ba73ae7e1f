//! The kit passes what is right, and each of its rules fails what is wrong.

use crate::stacks::Closed;
use purlin_endpoint::{
    CatchPanicLayer, Code, End, Error, Guard, Intercept, InterceptLayer, MethodLayer, Next,
    Request, Service,
    conformance::{self, Ask, Probe},
    from_fn,
};
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context as Task, Poll},
};
use tower::Layer;

static METHOD: purlin_endpoint::Method = purlin_endpoint::Method::unary("a.B", "C");

/// Admits so many calls at a time.
#[derive(Debug)]
struct Permits {
    free: AtomicUsize,
    size: usize,
}

#[derive(Debug)]
struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("full")
    }
}

impl std::error::Error for Full {}

impl From<Full> for Error {
    fn from(full: Full) -> Self {
        Self::new(Code::ResourceExhausted, full)
    }
}

struct Permit(Arc<Permits>);

impl<Req> Intercept<Req> for Permits {
    type Guard = Permit;
    type Refusal = Full;

    fn before(self: &Arc<Self>, _: &mut Req) -> Result<Permit, Full> {
        self.free
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |free| free.checked_sub(1))
            .map(|_| Permit(self.clone()))
            .map_err(|_| Full)
    }
}

impl<Res, Err> Guard<Res, Err> for Permit {
    fn end(self, _: End<'_>) {
        self.0.free.fetch_add(1, Ordering::SeqCst);
    }
}

fn permits(size: usize) -> InterceptLayer<Permits> {
    InterceptLayer::new(Permits { free: AtomicUsize::new(size), size })
}

fn held(layer: &InterceptLayer<Permits>) -> usize {
    layer.intercept().size - layer.intercept().free.load(Ordering::SeqCst)
}

#[tokio::test]
async fn our_own_layers_pass() {
    conformance::check(CatchPanicLayer::new).await;
    conformance::check(|| MethodLayer::new(&METHOD)).await;
    conformance::check(|| permits(1)).await;
    conformance::check(|| {
        from_fn(|request: Request<Ask>, next: Next<Probe>| async move { next.run(request).await })
    })
    .await;
    conformance::check_refusing(|| InterceptLayer::new(Closed)).await;
    conformance::check_refusing(|| permits(0)).await;
    conformance::check_shared(|| permits(3), 3).await;
    conformance::check_held(|| permits(2), held).await;
}

/// A layer made of a function from the inner service to another.
#[derive(Clone)]
struct Wrong<F>(F);

impl<F: Fn(Probe) -> S, S> Layer<Probe> for Wrong<F> {
    type Service = S;

    fn layer(&self, inner: Probe) -> S {
        (self.0)(inner)
    }
}

type Called = Pin<Box<dyn Future<Output = Result<conformance::Told, Error>> + Send>>;

/// A service whose readiness and call are as wrong as one likes.
#[derive(Clone)]
struct Odd {
    inner: Probe,
    permits: Arc<Permits>,
    how: How,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    CallsAClone,
    AlwaysReady,
    WrapsTheError,
    LeaksWhenDropped,
    EndsAtTheHead,
    CallsBeforeItRefuses,
}

impl Service<Request<Ask>> for Odd {
    type Response = conformance::Told;
    type Error = Error;
    type Future = Called;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Error>> {
        match self.how {
            How::AlwaysReady => Poll::Ready(Ok(())),
            _ => self.inner.poll_ready(task),
        }
    }

    fn call(&mut self, request: Request<Ask>) -> Called {
        let permits = self.permits.clone();
        match self.how {
            How::CallsAClone => Box::pin(self.inner.clone().call(request)),
            How::AlwaysReady => Box::pin(self.inner.call(request)),
            How::WrapsTheError => {
                let call = self.inner.call(request);
                Box::pin(async move { call.await.map_err(|_| Error::of(Code::Aborted)) })
            }
            How::CallsBeforeItRefuses => {
                let call = self.inner.call(request);
                Box::pin(async move { call.await.and(Err(Full.into())) })
            }
            How::LeaksWhenDropped => {
                let call = self.inner.call(request);
                Box::pin(async move {
                    permits
                        .free
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |free| {
                            free.checked_sub(1)
                        })
                        .map_err(|_| Full)?;
                    let told = call.await;
                    permits.free.fetch_add(1, Ordering::SeqCst);
                    told
                })
            }
            How::EndsAtTheHead => {
                let call = self.inner.call(request);
                Box::pin(async move {
                    let _permit = ReleaseOnDrop(Some(Intercept::<()>::before(&permits, &mut ())?));
                    call.await
                })
            }
        }
    }
}

struct ReleaseOnDrop(Option<Permit>);

impl Drop for ReleaseOnDrop {
    fn drop(&mut self) {
        if let Some(permit) = self.0.take() {
            permit.0.free.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn odd(how: How) -> impl Fn() -> Wrong<Box<dyn Fn(Probe) -> Odd>> {
    move || {
        let permits = Arc::new(Permits { free: AtomicUsize::new(5), size: 5 });
        Wrong(Box::new(move |inner| Odd { inner, permits: permits.clone(), how }))
    }
}

#[tokio::test]
#[should_panic(expected = "had not been polled ready")]
async fn a_layer_that_calls_a_clone_is_found() {
    conformance::check(odd(How::CallsAClone)).await;
}

#[tokio::test]
#[should_panic(expected = "had not been polled ready")]
async fn a_layer_that_swallows_readiness_is_found() {
    conformance::check(odd(How::AlwaysReady)).await;
}

#[tokio::test]
#[should_panic(expected = "the error's message was changed")]
async fn a_layer_that_changes_the_error_is_found() {
    conformance::check(odd(How::WrapsTheError)).await;
}

#[tokio::test]
#[should_panic(expected = "dropped calls have used something up")]
async fn a_layer_that_leaks_when_its_call_is_dropped_is_found() {
    conformance::check(odd(How::LeaksWhenDropped)).await;
}

#[tokio::test]
#[should_panic(expected = "must not reach the inner service")]
async fn a_layer_that_calls_before_it_refuses_is_found() {
    conformance::check_refusing(odd(How::CallsBeforeItRefuses)).await;
}

#[tokio::test]
#[should_panic(expected = "let call 0 in")]
async fn a_layer_that_does_not_refuse_is_found() {
    conformance::check_refusing(|| permits(5)).await;
}

#[tokio::test]
#[should_panic(expected = "a stream must be held beyond its response")]
async fn a_layer_that_ends_with_the_head_of_a_stream_is_found() {
    let permits = Arc::new(Permits { free: AtomicUsize::new(5), size: 5 });
    let all = permits.clone();
    conformance::check_held(
        move || {
            let permits = permits.clone();
            Wrong(move |inner| Odd { inner, permits: permits.clone(), how: How::EndsAtTheHead })
        },
        move |_| all.size - all.free.load(Ordering::SeqCst),
    )
    .await;
}

/// A layer whose clones each have a limit of their own, as tower's `RateLimit` has.
#[derive(Debug)]
struct PerClone(InterceptLayer<Permits>);

impl Clone for PerClone {
    fn clone(&self) -> Self {
        Self(permits(self.0.intercept().size))
    }
}

impl<S> Layer<S> for PerClone
where
    InterceptLayer<Permits>: Layer<S>,
{
    type Service = <InterceptLayer<Permits> as Layer<S>>::Service;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(inner)
    }
}

#[tokio::test]
#[should_panic(expected = "3 calls should get in through any number of clones")]
async fn a_limit_for_each_clone_is_found() {
    conformance::check_shared(|| PerClone(permits(3)), 3).await;
}

/// Forgets what it holds when its call ends in any way but one.
#[derive(Debug)]
struct Forgetful(Arc<Permits>);

impl<Req> Intercept<Req> for Forgetful {
    type Guard = Forgets;
    type Refusal = Infallible;

    fn before(self: &Arc<Self>, _: &mut Req) -> Result<Forgets, Infallible> {
        self.0.free.fetch_sub(1, Ordering::SeqCst);
        Ok(Forgets(self.0.clone()))
    }
}

struct Forgets(Arc<Permits>);

impl<Res, Err> Guard<Res, Err> for Forgets {
    fn end(self, end: End<'_>) {
        if !matches!(end.how(), purlin_endpoint::How::Panicked) {
            self.0.free.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tokio::test]
#[should_panic(expected = "a stream that was panicked must be let go")]
async fn a_layer_that_forgets_panicked_calls_is_found() {
    let permits = Arc::new(Permits { free: AtomicUsize::new(9), size: 9 });
    let all = permits.clone();
    let make = move || InterceptLayer::observer(Forgetful(permits.clone()));
    conformance::check_held(make, move |_| all.size - all.free.load(Ordering::SeqCst)).await;
}
