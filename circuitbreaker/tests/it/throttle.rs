use crate::{Do, Obedient, SECOND, code, request};
use purlin_circuitbreaker::{Throttle, ThrottleHandle, Throttled};
use purlin_endpoint::{Call as _, Code, Inspect as _, Layer as _, Service as _};
use std::{
    future::Future as _,
    pin::Pin,
    task::{self, Waker},
};

/// Requests and accepts, as they are shown.
fn seen(handle: &ThrottleHandle) -> [u64; 2] {
    let snapshot: serde_json::Value = serde_json::from_str(&handle.snapshot()).unwrap();
    ["requests", "accepts"].map(|name| snapshot[name].as_u64().unwrap())
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_is_accepted_and_what_fails_or_is_turned_away_is_not() {
    let layer = Throttle::new().layer().unwrap();
    let (handle, mut service) = (layer.handle(), layer.layer(Obedient));
    let mut accepted = 0;
    for (what, accepts) in [
        (Do::Answer, 1),
        (Do::Fail(Code::InvalidArgument), 1),
        (Do::Fail(Code::ResourceExhausted), 0),
        (Do::Fail(Code::Unavailable), 0),
    ] {
        let [requests, _] = seen(&handle);
        code(&mut service, what).await;
        accepted += accepts;
        assert_eq!(seen(&handle), [requests + 1, accepted], "{what:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_seen_while_it_runs_and_taken_back_if_it_is_dropped() {
    let layer = Throttle::new().layer().unwrap();
    let (handle, mut service) = (layer.handle(), layer.layer(Obedient));
    let mut call = service.call(request(Do::Hang));
    let task = &mut task::Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut call).poll(task).is_pending());
    assert_eq!(seen(&handle), [1, 0]);
    drop(call);
    assert_eq!(seen(&handle), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_accepted_with_its_head() {
    let layer = Throttle::new().layer().unwrap();
    let (handle, mut service) = (layer.handle(), layer.layer(Obedient));
    let mut stream = request(Do::Answer);
    let ending = stream.open_end();
    service.call(stream).await.unwrap();
    assert_eq!(seen(&handle), [1, 1]);
    drop(ending);
    assert_eq!(seen(&handle), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn one_who_accepts_nothing_is_left_in_peace_and_tried_again_with_time() {
    fastrand::seed(1);
    let layer = Throttle::new().layer().unwrap();
    let (handle, mut service) = (layer.handle(), layer.layer(Obedient));
    let mut sent = 0;
    for _ in 0..10_000 {
        let failed = service.call(request(Do::Fail(Code::Internal))).await.unwrap_err();
        match failed.find::<Throttled>() {
            Some(_) => assert!(failed.is_unreached() && !failed.is_retryable()),
            None => sent += 1,
        }
    }
    // A hundred for the floor, and then about 101 × ln(10,000 / 100).
    assert!((400..800).contains(&sent), "{sent}");
    assert_eq!(handle.refused(), 10_000 - sent);
    assert!(handle.probability() > 0.98);
    tokio::time::advance(121 * SECOND).await;
    assert_eq!(handle.probability(), 0.0);
    assert_eq!(code(&mut service, Do::Answer).await, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn other_settings_are_taken_without_losing_what_was_counted() {
    let config = Throttle::new().floor(0);
    let layer = config.layer().unwrap();
    let (handle, mut service) = (layer.handle(), layer.layer(Obedient));
    for _ in 0..2 {
        code(&mut service, Do::Answer).await;
    }
    handle.update(config.ratio(1.5)).unwrap();
    assert_eq!((handle.config(), seen(&handle)), (config.ratio(1.5), [2, 2]));
    assert_eq!(handle.update(config.ratio(0.5)).unwrap_err().field, "ratio");
}
