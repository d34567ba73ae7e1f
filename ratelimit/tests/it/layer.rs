use crate::{SECOND, call, limited};
use purlin_endpoint::{BoxError, Context, Request, Service as _};
use purlin_ratelimit::{Limited, RateLimit};
use std::{convert::Infallible, future::ready};
use tokio::time::{Instant, advance};
use tower::{ServiceBuilder, ServiceExt as _};

#[tokio::test(start_paused = true)]
async fn a_call_comes_in_again_as_time_goes_by() {
    let endpoint = limited(&RateLimit::per_second(2).burst(2).layer().unwrap());
    for _ in 0..3 {
        assert_eq!(call(&endpoint, Context::new()).await, Ok(()));
        assert_eq!(call(&endpoint, Context::new()).await, Ok(()));
        let refused = Limited { retry_after: SECOND / 2 };
        assert_eq!(call(&endpoint, Context::new()).await, Err(refused));
        advance(SECOND / 2).await;
        assert_eq!(call(&endpoint, Context::new()).await, Ok(()));
        advance(10 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_waited_further_out_is_not_refused_for_that() {
    let mut endpoint = limited(&RateLimit::per_second(1).layer().unwrap());
    let start = Instant::now();
    for _ in 0..5 {
        let old = Request::new(Context::new(), ()).started_at(start);
        assert!(endpoint.call(old).await.is_ok());
        advance(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn instants_before_the_layer_was_made_are_its_beginning() {
    let start = Instant::now();
    advance(SECOND).await;
    let mut endpoint = limited(&RateLimit::per_second(1).burst(3).layer().unwrap());
    let mut admitted = 0;
    for _ in 0..10 {
        let old = Request::new(Context::new(), ()).started_at(start);
        admitted += u32::from(endpoint.call(old).await.is_ok());
    }
    assert_eq!(admitted, 3);
}

#[tokio::test(start_paused = true)]
async fn the_error_type_of_any_service_stays_what_it_is() {
    let layer = RateLimit::per_second(1).layer().unwrap();
    let foreign = ServiceBuilder::new()
        .layer(layer.clone())
        .service_fn(|_: http::Request<()>| ready(Ok::<_, BoxError>(())));
    assert!(foreign.clone().oneshot(http::Request::new(())).await.is_ok());
    let refused = foreign.oneshot(http::Request::new(())).await.unwrap_err();
    assert_eq!(refused.to_string(), "rate limit exceeded, try again in 1s");

    let infallible = ServiceBuilder::new()
        .layer(layer.respond(|limited: Limited| limited.retry_after.as_secs()))
        .service_fn(|_: http::Request<()>| ready(Ok::<_, Infallible>(0)));
    assert_eq!(infallible.oneshot(http::Request::new(())).await, Ok(1));
}
