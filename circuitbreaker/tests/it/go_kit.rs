//! What the tests of Go kit's package `circuitbreaker` ask of three breakers.

use crate::{Do, Obedient, code, request};
use purlin_circuitbreaker::{CircuitBreaker, Open};
use purlin_endpoint::{Code, Layer as _, Service as _};
use std::time::Duration;

/// After so many successes all calls fail. So many of them get in and see the failure itself; then
/// ten in a row are refused.
async fn scenario(config: CircuitBreaker, primed: u32, passed: u32) {
    let mut service = config.layer().unwrap().layer(Obedient);
    for _ in 0..primed {
        assert_eq!(code(&mut service, Do::Answer).await, Code::Ok);
    }
    for call in 0..passed {
        assert_eq!(code(&mut service, Do::Fail(Code::Internal)).await, Code::Internal, "{call}");
    }
    for _ in 0..10 {
        // It would answer if it were asked.
        let refused = service.call(request(Do::Answer)).await.unwrap_err();
        assert!(refused.find::<Open>().is_some());
    }
}

/// Gobreaker opens by default when more than five calls in a row have failed.
#[tokio::test(start_paused = true)]
async fn cb_1_six_failures_in_a_row_open_it_where_that_is_its_condition() {
    scenario(CircuitBreaker::new().failure_rate(None).consecutive_failures(6), 100, 6).await;
}

/// Ours opens by default when half of the last hundred calls have failed, which is deliberately
/// another condition: six in a row come by chance wherever calls are many, and then a service that
/// answers nine calls of ten would be cut off again and again.
#[tokio::test(start_paused = true)]
async fn cb_1_a_service_that_mostly_answers_is_not_cut_off_by_default() {
    scenario(CircuitBreaker::new(), 100, 50).await;

    let mut random = fastrand::Rng::with_seed(1);
    let mut default = CircuitBreaker::new().layer().unwrap().layer(Obedient);
    let in_a_row = CircuitBreaker::new().failure_rate(None).consecutive_failures(6);
    let mut in_a_row = in_a_row.layer().unwrap().layer(Obedient);
    let mut refused = false;
    for _ in 0..50_000 {
        // One of five fails.
        let (what, wanted) = match random.u32(0..5) {
            0 => (Do::Fail(Code::Internal), Code::Internal),
            _ => (Do::Answer, Code::Ok),
        };
        assert_eq!(code(&mut default, what).await, wanted);
        refused |= code(&mut in_a_row, what).await == Code::Unavailable;
    }
    assert!(refused);
}

/// Handy's breaker opens when more than this share of at least ten calls within a time has failed.
#[tokio::test(start_paused = true)]
async fn cb_2_a_rate_of_failures_opens_it() {
    let config =
        CircuitBreaker::new().time(Duration::from_secs(5)).minimum_calls(10).failure_rate(0.05);
    // 5 of 105 are less than that, and 6 of 106 are more.
    scenario(config, 100, 6).await;
}

/// Hystrix opens at 5 percent of at least 20 calls within ten seconds, rounded to whole percents:
/// so at 4.5, as 2 of 42 are. Ours does not round.
#[tokio::test(start_paused = true)]
async fn cb_3_a_rate_of_failures_of_a_minimum_of_calls_opens_it() {
    let config = CircuitBreaker::new().time(Duration::from_secs(10)).minimum_calls(20);
    scenario(config.failure_rate(0.045), 40, 2).await;
    scenario(config.failure_rate(0.05), 40, 3).await;
}
