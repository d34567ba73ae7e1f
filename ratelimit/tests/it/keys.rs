use crate::{SECOND, call, limited};
use purlin_endpoint::{Context, Method, Peer};
use purlin_ratelimit::{Limited, RateLimit, RateLimitLayer};
use tokio::time::advance;

struct Tenant(String);

fn of(tenant: u64) -> Context {
    Context::new().with(Tenant(tenant.to_string()))
}

fn by_tenant(keys: usize) -> RateLimitLayer {
    let limit = RateLimit::per_second(1).burst(2);
    let by_tenant = limit.by(|context| Some(context.get::<Tenant>()?.0.as_str().into()));
    by_tenant.keys(keys).layer().unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_key_has_a_limit_of_its_own_and_calls_without_share_one() {
    let endpoint = limited(&by_tenant(100));
    for context in [of(1), of(2), Context::new()] {
        assert_eq!(call(&endpoint, context.clone()).await, Ok(()));
        assert_eq!(call(&endpoint, context.clone()).await, Ok(()));
        let refused = Err(Limited { retry_after: SECOND });
        assert_eq!(call(&endpoint, context).await, refused);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_without_room_share_one_limit_until_others_are_idle() {
    let layer = by_tenant(10);
    let endpoint = limited(&layer);
    for tenant in 0..10 {
        assert_eq!(call(&endpoint, of(tenant)).await, Ok(()));
    }
    let mut admitted = 0;
    for tenant in 10..20 {
        admitted += u32::from(call(&endpoint, of(tenant)).await.is_ok());
    }
    assert_eq!(admitted, 2, "those without room have a burst of two together");
    assert!(layer.handle().crowded() >= 8);
    // Whoever is known is none the worse for it.
    assert_eq!(call(&endpoint, of(3)).await, Ok(()));
    advance(2 * SECOND).await;
    for tenant in 10..20 {
        assert_eq!(call(&endpoint, of(tenant)).await, Ok(()));
        assert_eq!(call(&endpoint, of(tenant)).await, Ok(()));
        assert!(call(&endpoint, of(tenant)).await.is_err());
        advance(2 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn forgetting_a_key_gives_it_nothing() {
    let endpoint = limited(&by_tenant(64));
    assert_eq!(call(&endpoint, of(u64::MAX)).await, Ok(()));
    assert_eq!(call(&endpoint, of(u64::MAX)).await, Ok(()));
    for stranger in 0..20_000 {
        let _ = call(&endpoint, of(stranger)).await;
    }
    assert!(call(&endpoint, of(u64::MAX)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_method_or_an_address_is_a_key() {
    static ONE: Method = Method::unary("a.A", "One");
    static TWO: Method = Method::unary("a.A", "Two");
    let layer = RateLimit::per_second(1).by(|context| Some(context.method()?.into()));
    let endpoint = limited(&layer.layer().unwrap());
    for method in [&ONE, &TWO] {
        let context = Context::new().with_method(method);
        assert_eq!(call(&endpoint, context.clone()).await, Ok(()));
        assert!(call(&endpoint, context).await.is_err());
    }

    let layer = RateLimit::per_second(1).by(|c| Some(c.peer()?.address()?.ip().into()));
    let endpoint = limited(&layer.layer().unwrap());
    let from = |address: &str| Context::new().with_peer(Peer::Tcp(address.parse().unwrap()));
    assert_eq!(call(&endpoint, from("192.0.2.1:1000")).await, Ok(()));
    assert!(call(&endpoint, from("192.0.2.1:2000")).await.is_err(), "a port is no caller");
    assert_eq!(call(&endpoint, from("192.0.2.2:1000")).await, Ok(()));
}
