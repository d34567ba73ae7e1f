use crate::{SECOND, call, limited};
use purlin_endpoint::{Context, Request, Service as _};
use purlin_ratelimit::{Limited, RateLimit};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn calls_wait_for_their_turns_in_the_order_of_coming() {
    let mut endpoint = limited(&RateLimit::per_second(1).patience(3 * SECOND).layer().unwrap());
    let start = Instant::now();
    let calls: Vec<_> = (0..5).map(|_| endpoint.call(Request::new(Context::new(), ()))).collect();
    for (turn, call) in calls.into_iter().enumerate() {
        let outcome = call.await;
        match turn {
            0..4 => assert!(outcome.is_ok()),
            _ => assert_eq!(outcome.unwrap_err().retry_delay(), Some(4 * SECOND)),
        }
        assert_eq!(start.elapsed(), SECOND * turn.min(3) as u32);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_to_its_deadline_and_no_longer() {
    let endpoint = limited(&RateLimit::per_second(1).patience(Duration::MAX).layer().unwrap());
    let within = |time| Context::new().with_timeout(time);
    assert_eq!(call(&endpoint, Context::new()).await, Ok(()));
    let start = Instant::now();
    let refused = Err(Limited { retry_after: SECOND });
    assert_eq!(call(&endpoint, within(SECOND - Duration::from_nanos(1))).await, refused);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(call(&endpoint, within(SECOND)).await, Ok(()));
    assert_eq!(start.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_it_waits_gives_up_its_place() {
    let layers = [
        RateLimit::per_second(1).patience(3 * SECOND).layer().unwrap(),
        RateLimit::per_second(1).patience(3 * SECOND).by(|_| Some("a".into())).layer().unwrap(),
    ];
    for layer in layers {
        let mut endpoint = limited(&layer);
        assert_eq!(call(&endpoint, Context::new()).await, Ok(()));
        for _ in 0..1000 {
            // Never polled, and polled once.
            drop(endpoint.call(Request::new(Context::new(), ())));
            tokio::select! {
                biased;
                _ = endpoint.call(Request::new(Context::new(), ())) => panic!("it did not wait"),
                () = std::future::ready(()) => {}
            }
        }
        let start = Instant::now();
        assert_eq!(call(&endpoint, Context::new()).await, Ok(()));
        assert_eq!(start.elapsed(), SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_turn_has_come_keeps_its_token() {
    let endpoint = limited(&RateLimit::per_second(1).patience(SECOND).layer().unwrap());
    for turn in 0..4 {
        let start = Instant::now();
        assert_eq!(call(&endpoint, Context::new()).await, Ok(()));
        assert_eq!(start.elapsed(), SECOND * u32::from(turn > 0));
    }
}
