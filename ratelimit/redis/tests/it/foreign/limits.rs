use super::{server::Server, until};
use crate::{DAY, SECOND, Told, admitted, call, limited};
use purlin_endpoint::{Context, conformance};
use purlin_ratelimit::{Limited, RateLimit};
use purlin_ratelimit_redis::{RedisRateLimit, RedisRateLimitLayer, WhenAway};
use std::time::Instant;

/// The layer of one process among many. It refuses where Redis is away, and has all the time it
/// needs, so that a busy machine shows in no count.
fn process(server: &Server, limit: RateLimit) -> RedisRateLimitLayer {
    let limit = RedisRateLimit::new("test", limit).timeout(10 * SECOND);
    limit.when_away(WhenAway::Refuse).at(server.client()).layer().unwrap()
}

#[tokio::test]
async fn the_layer_keeps_the_rules_of_all_layers() {
    let server = Server::start().await;
    conformance::check(|| process(&server, RateLimit::per_second(1e6).burst(1_000_000))).await;
    let drained = process(&server, RateLimit::new(1, DAY));
    server.command::<()>("DEL test").await;
    assert_eq!(admitted(&limited(&drained), 1).await, 1);
    conformance::check_refusing(|| drained.clone()).await;
}

#[tokio::test]
async fn processes_share_one_limit() {
    let server = Server::start().await;
    let limit = RateLimit::new(1, DAY).burst(10);
    let (one, other) = (limited(&process(&server, limit)), limited(&process(&server, limit)));
    assert_eq!(admitted(&one, 7).await, 7);
    assert_eq!(admitted(&other, 7).await, 3);
    assert_eq!(admitted(&one, 7).await, 0);
    let refused = call(&other, Context::new()).await.unwrap_err().retry_after;
    assert!((DAY - 10 * SECOND..=DAY).contains(&refused), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_window_holds_more_than_the_limit_and_the_burst() {
    let server = Server::start().await;
    let period = SECOND / 2;
    let limit = RateLimit::new(100, period).burst(20);
    let start = Instant::now();
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let endpoint = limited(&process(&server, limit));
            tokio::spawn(async move {
                let mut admitted = Vec::new();
                while start.elapsed() < 2 * SECOND {
                    let asked = start.elapsed();
                    if call(&endpoint, Context::new()).await.is_ok() {
                        admitted.push((asked, start.elapsed()));
                    }
                }
                admitted
            })
        })
        .collect();
    let mut calls = Vec::new();
    for caller in callers {
        calls.extend(caller.await.unwrap());
    }
    // A call was admitted between when it asked and when it was told. So those that asked and were
    // told within a window were admitted in it, and no window begins elsewhere than with one.
    for &(from, _) in &calls {
        let within = |&&(asked, told): &&_| asked >= from && told <= from + period;
        let held = calls.iter().filter(within).count();
        assert!(held <= 120, "{held} calls from {from:?} on");
    }
    // 20, and 400 in two seconds; a busy machine asks less often.
    assert!((200..=421).contains(&calls.len()), "{} calls", calls.len());
}

#[tokio::test]
async fn buckets_that_are_full_expire() {
    let server = Server::start().await;
    let limit = RedisRateLimit::new("test", RateLimit::new(1, 2 * SECOND).burst(3));
    let by_number = limit.at(server.client()).by(|context| Some((*context.get::<u64>()?).into()));
    let endpoint = limited(&by_number.layer().unwrap());
    for key in 0..50_u64 {
        assert_eq!(call(&endpoint, Context::new().with(key)).await, Ok(()));
    }
    assert_eq!(server.command::<usize>("DBSIZE").await, 50);
    let left: i64 = server.command("PTTL test:49").await;
    assert!((1..=2000).contains(&left), "{left} ms");
    until("all keys are gone", async || server.command::<usize>("DBSIZE").await == 0).await;
    for _ in 0..3 {
        assert_eq!(call(&endpoint, Context::new().with(0_u64)).await, Ok(()));
    }
    assert!(call(&endpoint, Context::new().with(0_u64)).await.is_err());
}

#[tokio::test]
async fn each_key_and_each_name_has_a_limit_of_its_own() {
    let server = Server::start().await;
    for name in ["one", "two"] {
        let limit = RedisRateLimit::new(name, RateLimit::new(1, DAY));
        let limit = limit.at(server.client()).by(|context| Some((*context.get::<&str>()?).into()));
        let endpoint = limited(&limit.layer().unwrap());
        for context in [Context::new(), Context::new().with("a"), Context::new().with("b")] {
            assert_eq!(call(&endpoint, context.clone()).await, Ok(()));
            assert!(call(&endpoint, context).await.is_err());
        }
    }
    let mut keys: Vec<String> = server.command("KEYS *").await;
    keys.sort();
    assert_eq!(keys, ["one", "one:a", "one:b", "two", "two:a", "two:b"]);
}

#[tokio::test]
async fn a_call_waits_for_its_turn_and_not_beyond_its_deadline() {
    let server = Server::start().await;
    let limit = RateLimit::per_second(1).patience(2 * SECOND);
    let endpoint = limited(&process(&server, limit));
    let start = Instant::now();
    assert_eq!(admitted(&endpoint, 3).await, 3);
    assert!(start.elapsed() >= 2 * SECOND, "{:?}", start.elapsed());
    let start = Instant::now();
    let soon = Context::new().with_timeout(SECOND / 10);
    let Err(Limited { retry_after }) = call(&endpoint, soon).await else {
        panic!("it waited beyond its deadline");
    };
    assert!(start.elapsed() < SECOND / 2, "{:?}", start.elapsed());
    assert!((SECOND / 10..=SECOND).contains(&retry_after), "{retry_after:?}");
}

#[tokio::test]
async fn another_limit_leaves_taken_what_was_taken_but_no_debt() {
    let server = Server::start().await;
    let layer = process(&server, RateLimit::new(1, DAY).burst(3));
    let endpoint = limited(&layer);
    assert_eq!(admitted(&endpoint, 5).await, 3);
    layer.handle().update(RateLimit::new(1, SECOND / 10)).unwrap();
    let refused = call(&endpoint, Context::new()).await.unwrap_err();
    assert!(refused.retry_after <= SECOND / 10, "{refused:?}");
    until("a token of the new limit", async || admitted(&endpoint, 1).await == 1).await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_empties_a_bucket_and_no_more() {
    let server = Server::start().await;
    // What the bucket of a server looks like whose clock was far ahead: full in the year 2100.
    server.command::<()>("SET test 37868256000000000").await;
    let endpoint = limited(&process(&server, RateLimit::new(1, SECOND / 10).burst(5)));
    let refused = call(&endpoint, Context::new()).await.unwrap_err();
    assert!(refused.retry_after <= SECOND / 10, "{refused:?}");
}

#[tokio::test]
async fn a_server_that_forgot_the_script_is_given_it_again_and_a_broken_connection_is_made_anew() {
    let server = Server::start().await;
    let told = Told::default();
    let limit = RedisRateLimit::new("test", RateLimit::new(1, DAY).burst(100));
    let limit = limit.timeout(10 * SECOND).when_away(WhenAway::Refuse);
    let layer = limit.at(server.client()).on_change(told.listener()).layer().unwrap();
    let endpoint = limited(&layer);
    for fault in ["PING", "SCRIPT FLUSH", "CLIENT KILL TYPE normal", "SCRIPT FLUSH"] {
        server.command::<redis::Value>(fault).await;
        assert_eq!(admitted(&endpoint, 10).await, 10, "after {fault}");
    }
    assert_eq!(told.counts(), (0, 0));
}
