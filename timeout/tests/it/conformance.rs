use purlin_endpoint::{Request, conformance};
use purlin_timeout::{Timeout, TimeoutLayer};
use std::time::Duration;
use tokio::time::Instant;
use tower::{ServiceBuilder, util::MapRequestLayer};

fn layer() -> TimeoutLayer {
    Timeout::new(Duration::from_secs(1)).layer().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_layer_keeps_the_rules_of_all_layers() {
    conformance::check(layer).await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_have_expired_leave_the_inner_service_alone() {
    let expired = |mut request: Request<conformance::Ask>| {
        request.context = request.context.with_deadline(Instant::now());
        request
    };
    conformance::check_refusing(|| {
        ServiceBuilder::new().layer(MapRequestLayer::new(expired)).layer(layer()).into_inner()
    })
    .await;
}
