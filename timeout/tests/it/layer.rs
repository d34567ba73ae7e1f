use purlin_endpoint::{
    BoxError, Code, Context, Endpoint, Error, Inspect as _, Layer as _, Request, endpoint_fn,
};
use purlin_timeout::{TimedOut, Timeout};
use std::{
    convert::Infallible,
    future::{Future as _, pending},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{self, Wake, Waker},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use tower::{ServiceBuilder, ServiceExt as _};

const SECOND: Duration = Duration::from_secs(1);

/// Answers after so many seconds with the time it was left, behind a limit of three.
fn slow() -> impl Endpoint<u32, Response = Option<Duration>, Error = Error> {
    let layer = Timeout::new(3 * SECOND).layer().unwrap();
    layer.layer(endpoint_fn(|context: Context, seconds: u32| async move {
        let left = context.remaining(Instant::now());
        sleep(seconds * SECOND).await;
        Ok(left)
    }))
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_is_refused_when_its_time_is_over() {
    let start = Instant::now();
    let late = slow().invoke(Context::default(), 10).await.unwrap_err();
    assert_eq!(start.elapsed(), 3 * SECOND);
    assert_eq!((late.code(), late.is_unreached()), (Code::DeadlineExceeded, false));
    assert_eq!(late.find::<TimedOut>(), Some(&TimedOut { after: 3 * SECOND }));
}

#[tokio::test(start_paused = true)]
async fn what_lies_further_in_sees_the_nearer_deadline() {
    let now = Instant::now();
    assert_eq!(slow().invoke(Context::default(), 0).await.unwrap(), Some(3 * SECOND));
    let near = Context::default().with_deadline(now + SECOND);
    assert_eq!(slow().invoke(near.clone(), 0).await.unwrap(), Some(SECOND));
    let far = Context::default().with_deadline(now + 30 * SECOND);
    assert_eq!(slow().invoke(far, 0).await.unwrap(), Some(3 * SECOND));
    let late = slow().invoke(near, 2).await.unwrap_err();
    assert_eq!((now.elapsed(), late.message()), (SECOND, "no answer within 1s"));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_expired_never_reaches_the_handler() {
    let reached = Arc::new(AtomicU32::new(0));
    let count = reached.clone();
    let layer = Timeout::new(SECOND).layer().unwrap();
    let service = layer.layer(endpoint_fn(move |_: Context, ()| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, Error>(()) }
    }));
    let context = Context::default().with_deadline(Instant::now());
    let late = service.invoke(context, ()).await.unwrap_err();
    assert_eq!((late.code(), late.is_unreached()), (Code::DeadlineExceeded, true));
    assert_eq!(reached.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_call_held_is_given_back_before_its_caller_hears_of_it() {
    let held = Arc::new(());
    let inner = held.clone();
    let layer = Timeout::new(SECOND).layer().unwrap();
    let mut service = layer.layer(endpoint_fn(move |_: Context, ()| {
        let held = inner.clone();
        async move {
            let _held = held;
            pending::<Result<(), Error>>().await
        }
    }));
    let request = Request::new(Context::default(), ());
    let mut call = Box::pin(tower::Service::call(&mut service, request));
    assert!(call.as_mut().await.is_err());
    // The service holds one itself; the future still lives and holds nothing.
    assert_eq!(Arc::strong_count(&held), 2);
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_dropped_takes_its_timer_along() {
    struct Nobody;
    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }
    let nobody = Arc::new(Nobody);
    let waker = Waker::from(nobody.clone());
    let layer = Timeout::new(SECOND).layer().unwrap();
    let stuck = layer.layer(endpoint_fn(|_: Context, ()| pending::<Result<(), Error>>()));
    let mut call = Box::pin(stuck.invoke(Context::default(), ()));
    assert!(call.as_mut().poll(&mut task::Context::from_waker(&waker)).is_pending());
    drop(waker);
    assert_eq!(Arc::strong_count(&nobody), 2, "the timer would wake it");
    drop(call);
    assert_eq!(Arc::strong_count(&nobody), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_yields_its_budget_ends_in_time_too() {
    let layer = Timeout::new(SECOND).layer().unwrap();
    let greedy = layer.layer(endpoint_fn(|_: Context, ()| async {
        let end = Instant::now() + 60 * SECOND;
        while Instant::now() < end {
            tokio::task::consume_budget().await;
        }
        Ok::<(), Error>(())
    }));
    // The paused clock only moves by itself where nothing runs.
    let clock = tokio::spawn(async {
        for _ in 0..100 {
            tokio::time::advance(SECOND).await;
        }
    });
    let start = Instant::now();
    let late = greedy.invoke(Context::default(), ()).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert!(start.elapsed() < 10 * SECOND);
    clock.abort();
}

#[tokio::test(start_paused = true)]
async fn the_error_type_of_any_service_stays_what_it_is() {
    let layer = Timeout::new(SECOND).layer().unwrap();
    let foreign = ServiceBuilder::new()
        .layer(layer.clone())
        .service_fn(|_: http::Request<()>| pending::<Result<(), BoxError>>());
    let late: BoxError = foreign.oneshot(http::Request::new(())).await.unwrap_err();
    assert_eq!(late.to_string(), "no answer within 1s");

    let infallible = ServiceBuilder::new()
        .layer(layer.respond(|late: TimedOut| late.to_string()))
        .service_fn(|_: http::Request<()>| pending::<Result<String, Infallible>>());
    let response = infallible.oneshot(http::Request::new(())).await;
    assert_eq!(response, Ok("no answer within 1s".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_handle_changes_the_limit_of_calls_that_come_later() {
    let layer = Timeout::new(Duration::from_secs(1)).layer().unwrap();
    let (handle, clone) = (layer.handle(), layer.clone());
    let nap = clone.layer(endpoint_fn(|_: Context, seconds: u64| async move {
        sleep(Duration::from_secs(seconds)).await;
        Ok::<_, Error>(())
    }));
    let begun = nap.invoke(Context::new(), 2);
    assert_eq!(handle.update(Timeout::new(Duration::ZERO)).unwrap_err().field, "limit");
    assert_eq!(begun.await.unwrap_err().code(), Code::DeadlineExceeded);
    handle.update(Timeout::new(Duration::from_secs(3))).unwrap();
    assert!(nap.invoke(Context::new(), 2).await.is_ok());
    assert_eq!(handle.snapshot(), r#"{"limit":"3s"}"#);
}
