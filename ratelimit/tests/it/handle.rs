use crate::{SECOND, call, limited};
use purlin_endpoint::{Context, Inspect as _};
use purlin_ratelimit::{Limited, RateLimit};
use tokio::time::advance;

#[tokio::test(start_paused = true)]
async fn a_change_is_seen_by_every_clone_from_the_next_call_on() {
    let layer = RateLimit::new(1, 3600 * SECOND).layer().unwrap();
    let (first, second) = (limited(&layer), limited(&layer.clone()));
    assert_eq!(call(&first, Context::new()).await, Ok(()));
    assert_eq!(call(&second, Context::new()).await, Err(Limited { retry_after: 3600 * SECOND }));

    let faster = RateLimit::per_second(2).burst(3);
    layer.handle().update(faster).unwrap();
    assert_eq!(layer.handle().limit(), faster);
    // One of three is taken still.
    assert_eq!(call(&first, Context::new()).await, Ok(()));
    assert_eq!(call(&second, Context::new()).await, Ok(()));
    assert_eq!(call(&second, Context::new()).await, Err(Limited { retry_after: SECOND / 2 }));

    layer.handle().update(RateLimit::new(1, 3600 * SECOND)).unwrap();
    assert_eq!(call(&first, Context::new()).await, Err(Limited { retry_after: 3600 * SECOND }));
}

#[tokio::test(start_paused = true)]
async fn a_change_reaches_the_limits_of_all_keys() {
    let limit = RateLimit::per_second(1).burst(2);
    let layer = limit.by(|context| Some((*context.get::<u64>()?).into())).layer().unwrap();
    let endpoint = limited(&layer);
    for key in 0..50_u64 {
        assert_eq!(call(&endpoint, Context::new().with(key)).await, Ok(()));
    }
    layer.handle().update(RateLimit::new(1, 60 * SECOND).burst(2)).unwrap();
    for key in 0..50_u64 {
        let context = Context::new().with(key);
        assert_eq!(call(&endpoint, context.clone()).await, Ok(()), "key {key}");
        assert_eq!(call(&endpoint, context).await, Err(Limited { retry_after: 60 * SECOND }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_makes_no_sense_changes_nothing() {
    let limit = RateLimit::per_second(5).burst(2);
    let handle = limit.layer().unwrap().handle();
    assert_eq!(handle.update(limit.burst(0)).unwrap_err().field, "burst");
    assert_eq!(handle.limit(), limit);
}

#[tokio::test(start_paused = true)]
async fn the_page_shows_the_limit_and_what_is_left() {
    let limit = RateLimit::new(0.5, SECOND).burst(3).patience(SECOND / 4);
    let layer = limit.layer().unwrap();
    let handle = layer.handle().named("ratelimit greeter");
    let endpoint = limited(&layer);
    for _ in 0..3 {
        assert_eq!(call(&endpoint, Context::new()).await, Ok(()));
    }
    assert!(call(&endpoint, Context::new()).await.is_err());
    assert_eq!((handle.tokens(), handle.refused()), (0, 1));
    advance(2 * SECOND).await;
    let shown: serde_json::Value = serde_json::from_str(&handle.snapshot()).unwrap();
    let expected = serde_json::json!({
        "calls": 0.5, "period": "1s", "burst": 3, "patience": "250ms",
        "tokens": 1, "refused": 1, "crowded": 0,
    });
    assert_eq!((handle.name().as_str(), shown), ("ratelimit greeter", expected));
}
