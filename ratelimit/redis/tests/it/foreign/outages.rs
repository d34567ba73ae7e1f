use super::{server::Server, until};
use crate::{DAY, Told, admitted, call, limited};
use purlin_endpoint::Context;
use purlin_ratelimit::RateLimit;
use purlin_ratelimit_redis::{RedisRateLimit, RedisRateLimitLayer, WhenAway};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_millis(50);

/// What a busy machine may add to a timeout.
const MARGIN: Duration = Duration::from_millis(500);

fn process(server: &Server, when_away: WhenAway, told: &Told) -> RedisRateLimitLayer {
    let limit = RedisRateLimit::new("test", RateLimit::new(1, DAY).burst(5)).timeout(TIMEOUT);
    let limit = limit.when_away(when_away).at(server.client());
    limit.on_change(told.listener()).layer().unwrap()
}

/// Calls a hundred times, none of which may hang, and says how many were admitted.
async fn hundred_calls_in_time(layer: &RedisRateLimitLayer) -> usize {
    let endpoint = limited(layer);
    let mut admitted = 0;
    for _ in 0..100 {
        let start = Instant::now();
        admitted += usize::from(call(&endpoint, Context::new()).await.is_ok());
        let took = start.elapsed();
        assert!(took < TIMEOUT + MARGIN, "a call took {took:?}");
    }
    admitted
}

/// Calls until Redis is back, which takes another attempt to notice.
async fn notices(layer: &RedisRateLimitLayer) {
    let endpoint = limited(layer);
    until("the layer notices", async || {
        admitted(&endpoint, 1).await;
        !layer.handle().is_away()
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back_is_told_once_each() {
    for (policy, expected) in [(WhenAway::Admit, 100), (WhenAway::Refuse, 0)] {
        let mut server = Server::start().await;
        let told = Told::default();
        let layer = process(&server, policy, &told);
        assert_eq!(hundred_calls_in_time(&layer).await, 5);
        for outage in 1..=2 {
            server.kill();
            assert_eq!(hundred_calls_in_time(&layer).await, expected, "{policy:?}");
            assert_eq!(told.counts(), (outage, outage - 1));
            server.restart().await;
            notices(&layer).await;
            // The server has lost its memory, the script included, and the limit holds again.
            let more = hundred_calls_in_time(&layer).await;
            assert!((4..=5).contains(&more), "{more} calls of five");
            assert_eq!(told.counts(), (outage, outage));
        }
    }
}

#[tokio::test]
async fn a_server_that_is_stopped_in_its_tracks_costs_a_timeout_now_and_then() {
    for (policy, expected) in [(WhenAway::Admit, 100), (WhenAway::Refuse, 0)] {
        let server = Server::start().await;
        let told = Told::default();
        let layer = process(&server, policy, &told);
        assert_eq!(hundred_calls_in_time(&layer).await, 5);
        server.pause();
        let start = Instant::now();
        assert_eq!(hundred_calls_in_time(&layer).await, expected, "{policy:?}");
        // One call finds out and few look again; the others don't wait.
        assert!(start.elapsed() < 20 * TIMEOUT, "{:?}", start.elapsed());
        assert_eq!(told.counts(), (1, 0));
        server.resume();
        notices(&layer).await;
        assert_eq!(hundred_calls_in_time(&layer).await, 0, "the server remembers");
        assert_eq!(told.counts(), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_under_way_when_the_server_stops_are_let_go_together_and_told_of_once() {
    let server = Server::start().await;
    let told = Told::default();
    let layer = process(&server, WhenAway::Admit, &told);
    assert_eq!(hundred_calls_in_time(&layer).await, 5);
    server.pause();
    let start = Instant::now();
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let endpoint = limited(&layer);
            tokio::spawn(async move { call(&endpoint, Context::new()).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(()));
    }
    assert!(start.elapsed() < TIMEOUT + MARGIN, "{:?}", start.elapsed());
    assert_eq!(told.counts(), (1, 0));
    server.resume();
}

#[tokio::test]
async fn calls_that_come_at_once_share_the_first_connection() {
    let server = Server::start().await;
    let layer = process(&server, WhenAway::Admit, &Told::default());
    let before: usize = connections(&server).await;
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let endpoint = limited(&layer);
            tokio::spawn(async move { call(&endpoint, Context::new()).await.is_ok() })
        })
        .collect();
    let mut admitted = 0;
    for call in calls {
        admitted += usize::from(call.await.unwrap());
    }
    assert_eq!(admitted, 5);
    // One is that of the question.
    assert_eq!(connections(&server).await - before, 2);
}

/// How many connections the server has ever had.
async fn connections(server: &Server) -> usize {
    let stats: String = server.command("INFO stats").await;
    let (_, number) = stats.split_once("total_connections_received:").unwrap();
    number.split_whitespace().next().unwrap().parse().unwrap()
}
