use crate::script::{MS, READ, Script, Step};
use purlin_endpoint::{Code, Context, Error, Layer as _, Request, Service as _, endpoint_fn};
use purlin_retry::{Attempts, Budget, Hedge, Retry, TimedOut};
use std::{
    future::Future as _,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context as Task, Waker},
    time::Duration,
};
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn a_percentile_becomes_the_delay_when_a_hundred_calls_were_seen() {
    let layer = Hedge::percentile(0.9).layer().unwrap();
    let handle = layer.handle();
    let mut inner = layer.layer(endpoint_fn(|context: Context, took: u32| async move {
        // sleeps: this is paused time, and what the call is there for
        sleep(took * MS).await;
        Ok::<_, Error>(context.attempt())
    }));
    let request = |took| Request::new(Context::new().with_method(&READ), took);
    for took in 1..100 {
        assert_eq!(inner.call(request(took)).await.unwrap(), 0);
    }
    assert_eq!((handle.delay(), handle.repeats()), (None, 0));
    inner.call(request(100)).await.unwrap();
    let delay = handle.delay().unwrap();
    assert!((90 * MS..102 * MS).contains(&delay), "{delay:?}");
    // One that takes longer is hedged just then, and one that doesn't is not.
    assert_eq!(inner.call(request(80)).await.unwrap(), 0);
    assert_eq!(handle.repeats(), 0);
    let before = Instant::now();
    let _ = inner.call(request(1_000)).await;
    assert_eq!((handle.repeats(), handle.calls()), (1, 102));
    assert!(before.elapsed() <= 1_001 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_slow_instance_costs_the_delay_and_not_its_slowness() {
    // Every tenth attempt takes ten seconds.
    let count = Arc::new(AtomicU32::new(0));
    let layer = Hedge::default().delay(50 * MS).layer().unwrap();
    let handle = layer.handle();
    let mut service = layer.layer(endpoint_fn(move |_: Context, ()| {
        let slow = count.fetch_add(1, Ordering::Relaxed) % 30 == 29;
        async move {
            // sleeps: this is paused time, and what the call is there for
            sleep(if slow { 10_000 * MS } else { 10 * MS }).await;
            Ok::<_, Error>(())
        }
    }));
    let mut slowest = Duration::ZERO;
    for _ in 0..2_000 {
        let before = Instant::now();
        service.call(Request::new(Context::new().with_method(&READ), ())).await.unwrap();
        slowest = slowest.max(before.elapsed());
    }
    assert!(slowest <= 65 * MS, "{slowest:?}");
    let hedged = handle.repeats() as f64 / 2_000.0;
    assert!((0.02..0.05).contains(&hedged), "{hedged}");
}

#[tokio::test(start_paused = true)]
async fn losers_are_dropped_before_the_caller_hears_of_it() {
    let layer = Hedge::after(10 * MS).attempts(3).layer().unwrap();
    let script = Script::new([Step::Never, Step::Never, Step::After(10 * MS, Ok(()))]);
    assert_eq!(script.read(&layer).await.unwrap(), 2);
    assert_eq!((script.attempts(), script.running()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_takes_all_its_attempts_along() {
    let layer = Hedge::after(Duration::ZERO).attempts(3).layer().unwrap();
    let script = Script::new([Step::Never, Step::Never, Step::Never]);
    let mut call = Box::pin(script.read(&layer));
    for _ in 0..5 {
        assert!(call.as_mut().poll(&mut Task::from_waker(Waker::noop())).is_pending());
        tokio::time::advance(MS).await;
    }
    assert_eq!(script.running(), 3);
    drop(call);
    assert_eq!(script.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_keeps_what_has_failed_before() {
    let layer = Hedge::after(10 * MS).attempts(3).layer().unwrap();
    let failed = Step::Fail(Error::new(Code::Unavailable, "first"));
    let script = Script::new([failed, Step::Never, Step::Never]);
    let context = Context::new().with_method(&READ).with_timeout(100 * MS);
    let error = script.run(&layer, context).await.unwrap_err();
    assert_eq!(error.find(), Some(&TimedOut { after: 100 * MS, attempt: false }));
    assert_eq!(error.find::<Attempts>().unwrap().earlier()[0].message(), "first");
}

#[tokio::test(start_paused = true)]
async fn a_budget_without_anything_left_hedges_nothing() {
    let layer = Hedge::after(10 * MS).budget(Budget::ratio(0.0).floor(1)).layer().unwrap();
    let slow = || Script::new([Step::After(100 * MS, Ok(())), Step::Answer]);
    assert_eq!(slow().read(&layer).await.unwrap(), 1);
    let script = slow();
    assert_eq!((script.read(&layer).await.unwrap(), script.attempts()), (0, 1));
    assert_eq!((layer.handle().repeats(), layer.handle().refused()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_in_a_retry_and_a_retry_in_a_hedge_do_not_multiply() {
    let retry = Retry::attempts(3).layer().unwrap();
    let hedge = Hedge::after(10 * MS).attempts(3).layer().unwrap();
    let script = Script::failing(|| Error::of(Code::Unavailable));
    assert!(script.read(&(retry.clone(), hedge.clone())).await.is_err());
    assert_eq!(script.attempts(), 3);
    let script = Script::failing(|| Error::of(Code::Unavailable));
    assert!(script.read(&(hedge, retry)).await.is_err());
    assert_eq!(script.attempts(), 3);
}

#[test]
fn a_mistake_names_its_field() {
    let field = |hedge: Hedge| hedge.layer().unwrap_err().field;
    for wrong in [0.0, 1.0, -0.5, f64::NAN] {
        assert_eq!(field(Hedge::percentile(wrong)), "percentile");
    }
    assert_eq!(field(Hedge::default().budget(Budget::ratio(2.0))), "ratio");
    assert_eq!(field(Hedge::after(MS).attempts(9)), "attempts");
    assert!(Hedge::after(Duration::ZERO).layer().is_ok());
}
