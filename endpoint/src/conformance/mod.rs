//! Tests that every layer has to pass.
//!
//! ```
//! use purlin_endpoint::{CatchPanicLayer, conformance};
//!
//! # tokio_test::block_on(async {
//! conformance::check(CatchPanicLayer::new).await;
//! # });
//! ```
//!
//! A layer can be wrong in ways that no test of its own finds, since they need a hostile neighbour:
//! a service that isn't ready, a caller that goes away, a panic further in, a stream that outlives
//! its response. This kit is that neighbour. Each function takes one that makes your layer, and
//! panics with a sentence that says which rule was broken:
//!
//! - [`check`]: for every layer, set up so that it lets all calls in.
//! - [`check_refusing`]: for a layer that can refuse, set up so that it refuses all calls.
//! - [`check_shared`]: for a layer that admits so many calls, set up to admit no more.
//! - [`check_held`]: for a layer that holds something while a call runs: a permit, a gauge, a span.
//!
//! Run them under tokio, with time as you like it: the kit itself never waits.

mod probe;

pub use probe::{Ask, Probe, Told};

use crate::{
    Call, CatchPanicLayer, Code, Context, Endpoint, Error, Kind, Layer, Method, Request, Service,
    Streaming,
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context as Task, Poll, Waker},
};

static UNARY: Method = Method::unary("conformance.Probe", "Unary");
static STREAM: Method = Method::server_streaming("conformance.Probe", "Stream");

/// How often a fault is repeated, so that a leak of any kind uses up any limit.
const MANY: usize = 2_000;

/// What a layer makes of the probe: an endpoint with the probe's own types.
pub trait Subject: Endpoint<Ask> + Service<Request<Ask>, Response = Told, Error = Error> {}

impl<S: Endpoint<Ask> + Service<Request<Ask>, Response = Told, Error = Error>> Subject for S {}

/// Checks a layer that is set up so that it lets all calls in.
///
/// # Panics
///
/// If a rule is broken, with a sentence that says which.
pub async fn check<L>(make: impl Fn() -> L)
where
    L: Layer<Probe, Service: Subject>,
{
    readiness_is_passed_on(&make).await;
    only_the_readied_one_is_called(&make).await;
    clones_reach_one_service(&make).await;
    the_error_passes_unchanged(&make).await;
    dropped_calls_leave_nothing(&make).await;
    panics_leave_nothing(&make).await;
    a_stream_is_passed_on(&make).await;
}

/// Checks that a layer which refuses all calls leaves the inner service alone.
///
/// # Panics
///
/// If the inner service was called, or a call was not refused.
pub async fn check_refusing<L>(make: impl Fn() -> L)
where
    L: Layer<Probe, Service: Subject>,
{
    let probe = Probe::new();
    let mut subject = make().layer(probe.clone());
    for round in 0..10 {
        let outcome = call(&mut subject, unary(Ask::Answer)).await;
        assert!(outcome.is_err(), "a layer that refuses all calls let call {round} in");
    }
    assert_eq!(probe.calls(), 0, "a refused call must not reach the inner service");
}

/// Checks that all clones of a layer and its services share one state: of many calls through as
/// many clones, `admitted` get in, where the layer is set up to admit that many.
///
/// # Panics
///
/// If more or fewer got in.
pub async fn check_shared<L>(make: impl Fn() -> L, admitted: usize)
where
    L: Layer<Probe, Service: Subject> + Clone,
{
    let probe = Probe::new();
    let layer = make();
    let first = layer.layer(probe.clone());
    let mut held = Vec::new();
    for index in 0..10 * admitted.max(1) {
        // Clones of clones, clones of the layer, and one that has been used before.
        let mut subject = match index % 3 {
            0 => first.clone(),
            1 => layer.clone().layer(probe.clone()),
            _ => first.clone().clone(),
        };
        held.push(start(&mut subject, unary(Ask::Never)).await);
    }
    let reached = probe.calls();
    assert_eq!(reached, admitted, "{admitted} calls should get in through any number of clones");
}

/// Checks that what a layer holds for a call is held until the call's end, and no longer.
///
/// `held` says how many calls the layer believes to be in flight just now.
///
/// # Panics
///
/// If it lets go too early, too late, or never.
pub async fn check_held<L>(make: impl Fn() -> L, held: impl Fn(&L) -> usize)
where
    L: Layer<Probe, Service: Subject>,
{
    let layer = make();
    let mut subject = layer.layer(Probe::new());

    let pending = start(&mut subject, unary(Ask::Never)).await;
    assert_eq!(held(&layer), 1, "a call in flight must be held");
    drop(pending);
    assert_eq!(held(&layer), 0, "a call dropped half-way must be let go");

    drop(call(&mut subject, unary(Ask::Answer)));
    assert_eq!(held(&layer), 0, "a call dropped before its first poll must be let go");

    let answered = call(&mut subject, unary(Ask::Answer)).await;
    assert_eq!(held(&layer), 0, "a unary call ends with its response");
    drop(answered);

    let failed = call(&mut subject, unary(Ask::Fail)).await;
    assert_eq!(held(&layer), 0, "a failed call ends with its error");
    drop(failed);

    streams_are_held(&layer, &mut subject, &held).await;
    attempts_and_outgoing_calls_have_their_own_end(&layer, &mut subject, &held).await;

    let mut caught = CatchPanicLayer::new().layer(subject);
    for ask in [Ask::PanicInCall, Ask::PanicInPoll] {
        let outcome = call(&mut caught, unary(ask)).await;
        assert_eq!(outcome.err().map(|error| error.code()), Some(Code::Internal));
        assert_eq!(held(&layer), 0, "a call that panicked must be let go");
    }
}

async fn streams_are_held<L, S: Subject>(layer: &L, subject: &mut S, held: &impl Fn(&L) -> usize) {
    for how in ["read to its end", "broken off by an error", "dropped", "panicked"] {
        let mut request = Request::new(Context::new().with_method(&STREAM), Ask::Answer);
        let mut ending = request.open_end();
        let told = call(subject, request).await;
        assert!(told.is_ok(), "the call should get in");
        assert_eq!(held(layer), 1, "a stream must be held beyond its response");
        if let Some(ending) = &mut ending {
            ending.scoped(|| ());
        }
        assert_eq!(held(layer), 1, "a stream must be held while it is read");
        match (how, ending.take()) {
            ("read to its end", Some(ending)) => ending.finish(Ok(())),
            ("broken off by an error", Some(ending)) => {
                ending.finish(Err(&Error::of(Code::Aborted)));
            }
            ("panicked", Some(mut ending)) => {
                let panicked = crate::catch_panic(|| ending.scoped(|| panic!("in a stream")));
                assert!(panicked.is_err());
                drop(ending);
            }
            (_, ending) => drop(ending),
        }
        assert_eq!(held(layer), 0, "a stream that was {how} must be let go");
    }
}

async fn attempts_and_outgoing_calls_have_their_own_end<L, S: Subject>(
    layer: &L,
    subject: &mut S,
    held: &impl Fn(&L) -> usize,
) {
    let mut request = Request::new(Context::new().with_method(&STREAM), Ask::Answer);
    let ending = request.open_end();
    let attempt = request.clone();
    let outgoing = Request::new(request.context.clone(), Ask::Answer);
    for other in [attempt, outgoing] {
        let told = call(subject, other).await;
        assert!(told.is_ok(), "the call should get in");
        assert_eq!(
            held(layer),
            0,
            "a retry or an outgoing call must not wait for another's stream"
        );
    }
    drop(ending);
}

async fn readiness_is_passed_on<L>(make: &impl Fn() -> L)
where
    L: Layer<Probe, Service: Subject>,
{
    let probe = Probe::new();
    probe.set_ready(false);
    let mut subject = make().layer(probe.clone());
    {
        // Ready at once or not, the call must wait until the inner service is ready.
        let mut waiting = pin!(call(&mut subject, unary(Ask::Answer)));
        for _ in 0..3 {
            assert!(
                poll_once(waiting.as_mut()).is_pending(),
                "a service that isn't ready answered"
            );
        }
        assert_eq!(probe.calls(), 0, "a service that isn't ready was called");
        probe.set_ready(true);
        let outcome = waiting.await;
        assert!(outcome.is_ok(), "a call should get in when the service has become ready");
    }
    probe.set_broken();
    let outcome = call(&mut subject, unary(Ask::Answer)).await;
    let code = outcome.err().map(|error| error.code());
    assert_eq!(code, Some(Code::Unavailable), "the error of a broken readiness was swallowed");
}

async fn only_the_readied_one_is_called<L>(make: &impl Fn() -> L)
where
    L: Layer<Probe, Service: Subject>,
{
    let probe = Probe::new();
    let mut subject = make().layer(probe.clone());
    for _ in 0..3 {
        // The clone is taken between ready and call, where a careless layer mixes them up.
        assert!(poll_fn(|task| subject.poll_ready(task)).await.is_ok());
        let mut clone = subject.clone();
        assert!(subject.call(unary(Ask::Answer)).await.is_ok());
        assert!(call(&mut clone, unary(Ask::Answer)).await.is_ok());
    }
    assert_eq!(probe.unreadied(), 0, "a service was called that had not been polled ready");
}

async fn clones_reach_one_service<L>(make: &impl Fn() -> L)
where
    L: Layer<Probe, Service: Subject>,
{
    let probe = Probe::new();
    let subject = make().layer(probe.clone());
    for _ in 0..100 {
        assert!(call(&mut subject.clone(), unary(Ask::Answer)).await.is_ok());
    }
    assert_eq!(probe.calls(), 100, "each call through a clone reaches the inner service once");
}

async fn the_error_passes_unchanged<L>(make: &impl Fn() -> L)
where
    L: Layer<Probe, Service: Subject>,
{
    let mut subject = make().layer(Probe::new());
    let Err(error) = call(&mut subject, unary(Ask::Fail)).await else {
        panic!("the inner service's error became a response");
    };
    assert_eq!(error.code(), Code::Aborted, "the error's code was changed");
    assert_eq!(error.message(), "the probe was told to fail", "the error's message was changed");
    assert!(error.find::<probe::Marked>().is_some(), "the error's source was lost");
}

async fn dropped_calls_leave_nothing<L>(make: &impl Fn() -> L)
where
    L: Layer<Probe, Service: Subject>,
{
    let probe = Probe::new();
    let mut subject = make().layer(probe.clone());
    for _ in 0..MANY {
        drop(subject_call(&mut subject, Ask::Answer).await);
        drop(start(&mut subject, unary(Ask::Never)).await);
    }
    assert_eq!(probe.live(), 0, "a dropped call left the inner call running");
    let outcome = call(&mut subject, unary(Ask::Answer)).await;
    assert!(outcome.is_ok(), "dropped calls have used something up");
}

async fn panics_leave_nothing<L>(make: &impl Fn() -> L)
where
    L: Layer<Probe, Service: Subject>,
{
    let probe = Probe::new();
    let mut subject = CatchPanicLayer::new().layer(make().layer(probe.clone()));
    for ask in [Ask::PanicInCall, Ask::PanicInPoll].into_iter().cycle().take(MANY) {
        let outcome = call(&mut subject, unary(ask)).await;
        let code = outcome.err().map(|error| error.code());
        assert_eq!(code, Some(Code::Internal), "a panic must reach the catcher");
    }
    assert_eq!(probe.live(), 0, "a panic left the inner call running");
    let outcome = call(&mut subject, unary(Ask::Answer)).await;
    assert!(outcome.is_ok(), "panics have used something up");
}

async fn a_stream_is_passed_on<L>(make: &impl Fn() -> L)
where
    L: Layer<Probe, Service: Subject>,
{
    let mut subject = make().layer(Probe::new());
    for _ in 0..MANY {
        let mut request = Request::new(Context::new().with_method(&STREAM), Ask::Answer);
        let ending = request.open_end();
        assert_eq!(STREAM.kind(), Kind::ServerStreaming);
        let outcome = call(&mut subject, request).await;
        assert!(outcome.is_ok(), "streams that have ended must let others in");
        let mut stream = Streaming::once(()).ending(ending);
        assert!(matches!(stream.message().await, Ok(Some(()))));
        assert!(matches!(stream.message().await, Ok(None)));
    }
}

fn unary(ask: Ask) -> Request<Ask> {
    Request::new(Context::new().with_method(&UNARY), ask)
}

/// Readies and calls, as a transport does.
async fn call<S: Subject>(subject: &mut S, request: Request<Ask>) -> Result<Told, Error> {
    poll_fn(|task| subject.poll_ready(task)).await?;
    subject.call(request).await
}

/// Makes a call's future, and does not poll it.
async fn subject_call<S: Subject>(subject: &mut S, ask: Ask) -> Option<S::Future> {
    poll_fn(|task| subject.poll_ready(task)).await.ok()?;
    Some(subject.call(unary(ask)))
}

/// Makes a call's future and polls it once: it is then in flight.
async fn start<S: Subject>(subject: &mut S, request: Request<Ask>) -> impl Sized + use<S> {
    if poll_fn(|task| subject.poll_ready(task)).await.is_err() {
        return None;
    }
    let mut future = Box::pin(subject.call(request));
    let _ = poll_once(future.as_mut());
    Some(future)
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Task::from_waker(Waker::noop()))
}
