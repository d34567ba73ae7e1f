use crate::script::{MS, READ, Script, Step, WATCH, WRITE};
use purlin_endpoint::{
    BoxEndpoint, ByCode, Call as _, Classify as _, Code, Context, Endpoint as _, Error, Layer as _,
    Notes, Request, Service, Tried, Verdict, endpoint_fn,
};
use purlin_retry::{Attempts, Budget, Hedge, Retry};
use std::{
    future::{Future as _, pending, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context as Task, Waker},
    time::Duration,
};
use tokio::time::timeout;

fn unavailable() -> Error {
    Error::of(Code::Unavailable)
}

#[tokio::test(start_paused = true)]
async fn what_is_not_idempotent_is_never_repeated_unless_it_was_not_reached() {
    let layer = Retry::attempts(3).layer().unwrap();
    for (context, unreached, attempts) in [
        (Context::new().with_method(&WRITE), false, 1),
        (Context::new(), false, 1),
        (Context::new().with_method(&WRITE), true, 3),
        (Context::new(), true, 3),
        (Context::new().with_method(&READ), false, 3),
    ] {
        let failure = || if unreached { unavailable().unreached() } else { unavailable() };
        let script = Script::failing(failure);
        let error = script.run(&layer, context.clone()).await.unwrap_err();
        assert_eq!(script.attempts(), attempts, "{context:?}, unreached: {unreached}");
        let earlier = error.find::<Attempts>().map_or(0, |attempts| attempts.earlier().len());
        assert_eq!(earlier, attempts - 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_error_is_the_calls_with_all_that_it_says() {
    let layer = Retry::attempts(3).layer().unwrap();
    let script = Script::new([
        Step::Fail(unavailable().public("first")),
        Step::Fail(unavailable().public("second").retry_after(MS)),
        Step::Fail(Error::invalid("name", "is bad").member("zone", "b").retry_after(9 * MS)),
    ]);
    let error = script.read(&layer).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::InvalidArgument, "name is bad"));
    assert_eq!(error.violations().len(), 1);
    assert_eq!((error.members().count(), error.retry_delay()), (1, Some(9 * MS)));
    let attempts = error.find::<Attempts>().unwrap();
    assert_eq!(attempts.to_string(), "name is bad (previously: first; second)");
    let codes: Vec<_> = attempts.earlier().iter().map(Error::code).collect();
    assert_eq!(codes, [Code::Unavailable, Code::Unavailable]);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_in_the_notes_of_the_call() {
    let layer = Retry::attempts(3).layer().unwrap();
    let hedge = Hedge::after(MS).layer().unwrap();
    let counted = async |layer: &(_, _), steps: Vec<Step>| {
        let notes = Notes::counting();
        let context = Context::new().with_method(&READ).with_notes(notes.clone());
        let _ = Script::new(steps).run(layer, context).await;
        notes.attempts()
    };
    let fail = || Step::Fail(unavailable());
    let twice = (layer.clone(), layer.clone());
    assert_eq!(counted(&twice, vec![Step::Answer]).await, 1);
    assert_eq!(counted(&twice, vec![fail(), Step::Answer]).await, 2);
    assert_eq!(counted(&twice, vec![fail(), fail(), fail()]).await, 3);

    let notes = Notes::counting();
    let context = Context::new().with_method(&READ).with_notes(notes.clone());
    Script::new([Step::Never, Step::Answer]).run(&(hedge, layer), context).await.unwrap();
    assert_eq!(notes.attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_retry_in_a_retry_repeats_nothing() {
    let outer = Retry::attempts(3).layer().unwrap();
    let inner = Retry::attempts(3).layer().unwrap();
    // The inner one repeats the first attempt; the outer one knows it, and leaves it at that.
    let script = Script::failing(unavailable);
    let stack = (outer.clone(), inner.clone());
    let error = script.read(&stack).await.unwrap_err();
    assert_eq!(script.attempts(), 3);
    assert_eq!(error.find::<Attempts>().unwrap().earlier().len(), 2);
    // What comes in as a repetition is passed through once, and pays nothing.
    let script = Script::failing(unavailable);
    let context = Context::new().with_method(&READ).with_attempt(1);
    let calls = inner.handle().calls();
    let error = script.run(&inner, context.clone()).await.unwrap_err();
    assert_eq!((script.attempts(), inner.handle().calls()), (1, calls));
    assert!(error.find::<Attempts>().is_none());
    // A call that its handler makes is a first attempt again.
    let script = Script::failing(unavailable);
    let outgoing = context.outgoing().with_method(&READ);
    assert!(script.run(&inner, outgoing).await.is_err());
    assert_eq!(script.attempts(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_never_repeated_after_its_head_and_only_the_first_attempt_knows_its_end() {
    let ends = Arc::new(AtomicU32::new(0));
    let note = ends.clone();
    let counting = tower::util::MapRequestLayer::new(move |mut request: Request<()>| {
        note.fetch_add(u32::from(request.claim_end().is_some()) * 10 + 1, Ordering::Relaxed);
        request
    });
    let failing = endpoint_fn(|context: Context, ()| async move {
        match context.attempt() {
            0 => Err(Error::of(Code::Unavailable)),
            _ => Ok(purlin_endpoint::Streaming::iter([Ok(1), Err(Error::of(Code::Unavailable))])),
        }
    });
    let mut service = Retry::attempts(5).layer().unwrap().layer(counting.layer(failing));
    let mut request = Request::new(Context::new(), ());
    request.name_method(&WATCH);
    let mut stream = service.call(request).await.unwrap();
    assert_eq!(stream.message().await.unwrap(), Some(1));
    assert_eq!(stream.message().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(ends.load(Ordering::Relaxed), 12, "two attempts, one of which had an end");
}

#[tokio::test(start_paused = true)]
async fn an_attempts_time_does_not_cut_a_stream_that_has_begun() {
    let layer = Retry::attempts(2).attempt_timeout(50 * MS).layer().unwrap();
    let script = Script::new([Step::Never, Step::Answer]);
    assert_eq!(script.run(&layer, Context::new().with_method(&WATCH)).await.unwrap(), 1);
    assert!(script.seen().iter().all(|seen| seen.left.is_none()));
}

/// A message that counts its clones.
struct Counted(Arc<AtomicU32>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_cloned_only_where_a_repetition_can_come() {
    let clones = Arc::new(AtomicU32::new(0));
    let failing = || endpoint_fn(|_: Context, _: Counted| async { Err::<(), _>(unavailable()) });
    let idempotent = Context::new().with_method(&READ);
    let empty = Budget::ratio(0.0).floor(0);
    for (retry, context, wanted) in [
        (Retry::attempts(1), idempotent.clone(), 0),
        (Retry::attempts(2).budget(empty), idempotent.clone(), 0),
        (Retry::attempts(3), idempotent.clone().with_attempt(1), 0),
        // The last attempt gets what was kept for it.
        (Retry::attempts(2), idempotent.clone(), 1),
        (Retry::attempts(4), idempotent, 3),
        // It might not be reached.
        (Retry::attempts(3), Context::new().with_method(&WRITE), 1),
    ] {
        let service = retry.layer().unwrap().layer(failing());
        let before = clones.load(Ordering::Relaxed);
        assert!(service.invoke(context, Counted(clones.clone())).await.is_err());
        assert_eq!(clones.load(Ordering::Relaxed) - before, wanted, "{retry:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_cloned_is_replayed_by_a_function() {
    struct Unique(Option<u32>);
    let layer = Retry::attempts(3).layer().unwrap().replay(|request: &Request<Unique>| {
        let message = Unique(Some(request.message.0?));
        Some(Request::new(request.context.clone(), message))
    });
    let echo = endpoint_fn(|context: Context, message: Unique| async move {
        if context.attempt() == 2 { Ok(message.0) } else { Err(unavailable()) }
    });
    let service = layer.layer(echo);
    let context = Context::new().with_method(&READ);
    assert_eq!(service.invoke(context.clone(), Unique(Some(7))).await.unwrap(), Some(7));
    // One that can't be replayed is sent once.
    let error = service.invoke(context, Unique(None)).await.unwrap_err();
    assert!(error.find::<Attempts>().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_neither_attempts_nor_takings() {
    let budget = Budget::ratio(0.0).floor(1);
    let layer = Retry::attempts(3).budget(budget).layer().unwrap();
    let now = tokio::time::Instant::now();
    for steps in [
        // Dropped in its first attempt, in its wait, and in its second attempt.
        [Step::Never, Step::Never],
        [Step::Fail(unavailable()), Step::Never],
        [Step::Fail(unavailable().retry_after(Duration::ZERO)), Step::Never],
    ] {
        let spends = matches!(&steps[1], Step::Never)
            && matches!(&steps[0], Step::Fail(error) if error.retry_delay().is_some());
        let script = Script::new(steps);
        let mut call = Box::pin(script.read(&layer));
        assert!(call.as_mut().poll(&mut Task::from_waker(Waker::noop())).is_pending());
        drop(call);
        assert_eq!(script.running(), 0);
        assert_eq!(layer.handle().purse().level(now), u64::from(!spends));
    }
    assert_eq!(layer.handle().repeats(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_for_all_is_asked_a_fifth_more_often_at_most() {
    let reached = Arc::new(AtomicU32::new(0));
    let count = reached.clone();
    let layer = Retry::default().layer().unwrap();
    let service = layer.layer(BoxEndpoint::new(endpoint_fn(move |_: Context, ()| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Err::<(), _>(unavailable()) }
    })));
    // 100 calls a second for 30 s, which may overlap.
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..3_000 {
        calls.spawn(service.invoke(Context::new().with_method(&READ), ()));
        tokio::time::advance(10 * MS).await;
    }
    while calls.join_next().await.is_some() {}
    let amplification = f64::from(reached.load(Ordering::Relaxed)) / 3_000.0;
    assert!((1.19..=1.20).contains(&amplification), "{amplification}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_no_longer_ready_fails_the_attempt_and_not_the_process() {
    use purlin_endpoint::conformance::{Ask, Probe};
    let probe = Probe::new();
    let break_it = probe.clone();
    let breaking = tower::util::MapResultLayer::new(move |_| {
        break_it.set_broken();
        Err::<(), _>(Error::of(Code::Unavailable))
    });
    let mut service = Retry::attempts(2).layer().unwrap().layer(breaking.layer(probe.clone()));
    poll_fn(|task| service.poll_ready(task)).await.unwrap();
    let request = Request::new(Context::new().with_method(&READ), Ask::Answer);
    let error = service.call(request).await.unwrap_err();
    assert_eq!((error.code(), probe.calls()), (Code::Unavailable, 1));
    assert_eq!(error.find::<Attempts>().unwrap().earlier().len(), 1);
}

/// What a balancer does: it notes where a call goes, or says so in its error.
fn pick(context: &Context) -> Tried {
    let tried = context.get::<Tried>().cloned().unwrap_or_default();
    tried.note(format!("instance {}", tried.ids().len()));
    tried
}

#[tokio::test(start_paused = true)]
async fn what_has_been_tried_goes_along_with_the_next_attempt() {
    let service = endpoint_fn(|context: Context, ()| async move {
        let first = context.attempt() == 0;
        assert_eq!(first, context.get::<Tried>().is_none(), "a call that succeeds pays nothing");
        let tried = pick(&context);
        match tried.ids().len() {
            3 => Ok(tried),
            _ => Err(unavailable().attach(tried)),
        }
    });
    let layer = Retry::attempts(3).layer().unwrap();
    let call = layer.layer(service).invoke(Context::new().with_method(&READ), ());
    let tried = call.await.unwrap();
    assert_eq!(tried.ids(), ["instance 0", "instance 1", "instance 2"].map(Into::into));
}

#[tokio::test(start_paused = true)]
async fn where_an_attempt_went_that_was_cut_off_is_known_to_the_next() {
    let service = endpoint_fn(|context: Context, ()| async move {
        let tried = pick(&context);
        if context.attempt() == 0 {
            pending::<()>().await;
        }
        Ok::<_, Error>(tried.ids().len())
    });
    let call = || Context::new().with_method(&READ);
    // It is cut off by the retry itself, by a hedge that another wins, or by a layer in between.
    let retry = Retry::attempts(2).attempt_timeout(10 * MS).layer().unwrap();
    assert_eq!(retry.layer(service).invoke(call(), ()).await.unwrap(), 2);
    let hedge = Hedge::after(10 * MS).layer().unwrap();
    assert_eq!(hedge.layer(service).invoke(call(), ()).await.unwrap(), 2);
    let cutting = endpoint_fn(move |context: Context, ()| async move {
        let call = timeout(10 * MS, service.invoke(context, ()));
        call.await.unwrap_or_else(|_| Err(Error::of(Code::DeadlineExceeded)))
    });
    let late = |outcome: &Result<_, Error>| match outcome {
        Err(error) if error.code() == Code::DeadlineExceeded => Verdict::of(Code::Unavailable),
        _ => ByCode.classify(outcome),
    };
    let retry = Retry::attempts(2).layer().unwrap().classify(late);
    assert_eq!(retry.layer(cutting).invoke(call(), ()).await.unwrap(), 2);
}
