use crate::limited;
use purlin_endpoint::{Context, Request, Service as _, conformance};
use purlin_ratelimit::{RateLimit, RateLimitLayer};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn generous() -> RateLimit {
    RateLimit::per_second(1e9).burst(u32::MAX)
}

fn drained(limit: RateLimit) -> RateLimitLayer {
    let layer = limit.layer().unwrap();
    drop(limited(&layer).call(Request::new(Context::new(), ())));
    layer
}

#[tokio::test(start_paused = true)]
async fn the_layer_keeps_the_rules_of_all_layers() {
    conformance::check(|| generous().layer().unwrap()).await;
    conformance::check(|| generous().by(|_| Some("all".into())).layer().unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn a_layer_whose_calls_wait_keeps_them_too() {
    conformance::check(|| RateLimit::per_second(1000).patience(DAY).layer().unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn refused_calls_leave_the_inner_service_alone() {
    conformance::check_refusing(|| drained(RateLimit::new(1, DAY))).await;
    conformance::check_refusing(|| drained(RateLimit::new(1, DAY).patience(DAY / 2))).await;
}

#[tokio::test(start_paused = true)]
async fn all_clones_share_one_limit() {
    conformance::check_shared(|| RateLimit::new(1, DAY).burst(7).layer().unwrap(), 7).await;
    let by_key = || RateLimit::new(1, DAY).burst(7).by(|_| Some(1.into())).layer().unwrap();
    conformance::check_shared(by_key, 7).await;
}
