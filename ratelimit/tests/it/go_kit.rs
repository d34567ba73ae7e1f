//! Go kit's scenarios: one call a minute, and a call that has half a second.

use crate::{SECOND, limited};
use purlin_endpoint::{Code, Context, Endpoint as _};
use purlin_ratelimit::RateLimit;
use tokio::time::Instant;

fn in_half_a_second() -> Context {
    Context::default().with_timeout(SECOND / 2)
}

#[tokio::test(start_paused = true)]
async fn rl_1_a_call_above_the_limit_is_refused() {
    let endpoint = limited(&RateLimit::new(1, 60 * SECOND).layer().unwrap());
    assert!(endpoint.invoke(in_half_a_second(), ()).await.is_ok());
    let error = endpoint.invoke(in_half_a_second(), ()).await.unwrap_err();
    assert!(error.message().contains("rate limit exceeded"), "{error}");
    // Ours says in addition what kind of failure it is, when to come back, and that nothing was
    // done, from which the transports make a 429 with Retry-After, or a RetryInfo.
    assert_eq!((error.code(), error.retry_delay()), (Code::ResourceExhausted, Some(60 * SECOND)));
    assert!(error.is_unreached() && error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn rl_2_a_call_whose_turn_comes_after_its_deadline_is_refused_at_once() {
    let patient = RateLimit::new(1, 60 * SECOND).patience(3600 * SECOND);
    let endpoint = limited(&patient.layer().unwrap());
    let start = Instant::now();
    assert!(endpoint.invoke(in_half_a_second(), ()).await.is_ok());
    let error = endpoint.invoke(in_half_a_second(), ()).await.unwrap_err();
    // Go kit's refusal says something else here. Ours is the same wherever a limit refuses, since
    // its caller does the same about it, and it tells how long the wait would have been.
    assert_eq!((error.code(), error.retry_delay()), (Code::ResourceExhausted, Some(60 * SECOND)));
    assert_eq!(start.elapsed(), SECOND - SECOND, "it must not have waited");
}
