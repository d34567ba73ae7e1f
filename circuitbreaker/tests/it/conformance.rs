use crate::{Do, Obedient, SECOND, request};
use purlin_circuitbreaker::{CircuitBreaker, CircuitBreakerLayer, Forced, Throttle};
use purlin_endpoint::{Backoff, Context, Layer as _, Service as _, conformance};
use std::{
    pin::pin,
    task::{self, Waker},
};

/// Polls it once.
fn poll(future: impl Future) {
    let _ = pin!(future).poll(&mut task::Context::from_waker(Waker::noop()));
}

/// A breaker that no number of calls of the kit opens.
fn closed() -> CircuitBreaker {
    CircuitBreaker::new().calls(1_000_000).minimum_calls(1_000_000)
}

/// One breaker for all methods, which is half-open and has so many permits.
fn half_open(permits: u32) -> CircuitBreakerLayer {
    let config = closed()
        .half_open_calls(permits)
        .consecutive_failures(1)
        .open_for(Backoff::new(SECOND).jitter(0.0));
    let layer = config.layer().unwrap().by(|_: &Context| None::<String>);
    poll(layer.layer(Obedient).call(request(Do::Fail(purlin_endpoint::Code::Internal))));
    // The clock has moved when this is polled, and then it only yields.
    poll(tokio::time::advance(SECOND));
    layer.handle().update(closed().half_open_calls(permits)).unwrap();
    layer
}

#[tokio::test(start_paused = true)]
async fn a_closed_breaker_keeps_the_rules_of_all_layers() {
    conformance::check(|| closed().layer().unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn a_half_open_breaker_keeps_the_rules_of_all_layers() {
    conformance::check(|| half_open(1_000_000)).await;
}

#[tokio::test(start_paused = true)]
async fn a_disabled_breaker_keeps_the_rules_of_all_layers() {
    conformance::check(|| {
        let layer = CircuitBreaker::new().layer().unwrap();
        layer.handle().force(Forced::Disabled);
        layer
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_leaves_the_inner_service_alone() {
    conformance::check_refusing(|| {
        let layer = CircuitBreaker::new().layer().unwrap();
        layer.handle().force(Forced::Open);
        layer
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn all_clones_share_the_permits_of_a_half_open_breaker() {
    for permits in [1, 5] {
        conformance::check_shared(|| half_open(permits), permits as usize).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_held_until_its_call_ends() {
    let probing = |layer: &CircuitBreakerLayer| layer.handle().status()[0].probing as usize;
    conformance::check_held(|| half_open(1_000_000), probing).await;
}

#[tokio::test(start_paused = true)]
async fn a_throttle_keeps_the_rules_of_all_layers() {
    conformance::check(|| Throttle::new().floor(1_000_000).layer().unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn a_throttle_that_refuses_leaves_the_inner_service_alone() {
    fastrand::seed(7);
    conformance::check_refusing(|| {
        let layer = Throttle::new().floor(0).layer().unwrap();
        let mut fails = layer.layer(Obedient);
        for _ in 0..100_000 {
            poll(fails.call(request(Do::Fail(purlin_endpoint::Code::Internal))));
        }
        layer
    })
    .await;
}
