//! Where no Redis listens.

use crate::{DAY, SECOND, Told, admitted, call, limited};
use purlin_endpoint::{Context, Inspect as _, conformance};
use purlin_ratelimit::RateLimit;
use purlin_ratelimit_redis::{AtRedis, Client, RedisRateLimit, WhenAway};
use std::time::Instant;
use tokio::net::TcpListener;

fn nowhere(when_away: WhenAway) -> AtRedis {
    let limit = RedisRateLimit::new("test", RateLimit::new(1, DAY)).when_away(when_away);
    limit.at(Client::open("redis://127.0.0.1:1/").unwrap())
}

#[tokio::test]
async fn the_layer_keeps_the_rules_of_all_layers() {
    conformance::check(|| nowhere(WhenAway::Admit).layer().unwrap()).await;
}

#[tokio::test]
async fn refused_calls_leave_the_inner_service_alone() {
    conformance::check_refusing(|| nowhere(WhenAway::Refuse).layer().unwrap()).await;
}

#[tokio::test]
async fn the_policy_applies_and_is_told_once() {
    for (policy, expected) in [(WhenAway::Admit, 200), (WhenAway::Refuse, 0)] {
        let told = Told::default();
        let layer = nowhere(policy).on_change(told.listener()).layer().unwrap();
        assert!(!layer.handle().is_away(), "nobody has asked yet");
        assert_eq!(admitted(&limited(&layer), 200).await, expected);
        assert_eq!(told.counts(), (1, 0));
        let handle = layer.handle();
        assert!(handle.is_away());
        assert_eq!(handle.refused(), 200 - expected as u64);
        let shown: serde_json::Value = serde_json::from_str(&handle.snapshot()).unwrap();
        assert_eq!((handle.name().as_str(), &shown["away"]), ("ratelimit test", &true.into()));
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_costs_one_call_its_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let told = Told::default();
    let limit = RedisRateLimit::new("test", RateLimit::new(1, DAY)).timeout(SECOND / 10);
    let client = Client::open(format!("redis://{address}/")).unwrap();
    let layer = limit.at(client).on_change(told.listener()).layer().unwrap();
    let (endpoint, start) = (limited(&layer), Instant::now());
    assert_eq!(call(&endpoint, Context::new()).await, Ok(()));
    let first = start.elapsed();
    assert!((SECOND / 10..SECOND).contains(&first), "{first:?}");
    // Ten that waited too would take a second.
    let start = Instant::now();
    assert_eq!(admitted(&endpoint, 10).await, 10);
    assert!(start.elapsed() < SECOND / 2, "{:?}", start.elapsed());
    assert_eq!(told.counts(), (1, 0));
}

#[tokio::test]
async fn a_change_of_the_limit_that_makes_no_sense_changes_nothing() {
    let handle = nowhere(WhenAway::Admit).layer().unwrap().handle();
    assert_eq!(handle.update(RateLimit::per_second(0)).unwrap_err().field, "calls");
    assert_eq!(handle.limit(), RateLimit::new(1, DAY));
    handle.update(RateLimit::per_second(7)).unwrap();
    assert_eq!(handle.limit(), RateLimit::per_second(7));
}
