//! How long it takes until all is as it was.

use super::{etcd, follow, found, register, server::Server};
use purlin_sd::conformance::{Mode, Proxy};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const TIME_TO_LIVE: Duration = Duration::from_secs(2);
/// What was lost is back a third of the time to live and a second later.
const BACK: Duration = Duration::from_millis(2000 / 3 + 1000);

/// Waits until the server holds the key, and says how long that took.
async fn back(server: &Server, service: &str) -> Duration {
    let started = Instant::now();
    let wait = async {
        while server.list(&format!("/services/{service}/")).await.is_empty() {
            // sleeps: to ask again.
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(super::PATIENCE, wait).await.unwrap();
    started.elapsed()
}

async fn survives_an_outage_of(lives: u32) {
    let server = Server::start().await;
    let proxy = Proxy::start(server.address()).unwrap();
    let etcd = etcd(proxy.address());
    let mut instancer = follow(&etcd, "s");
    let registration = register(&etcd, "s", TIME_TO_LIVE, "a");
    found(&mut instancer, &["a"]).await;
    proxy.set(Mode::Refuse);
    // sleeps: that long is it away.
    sleep(lives * TIME_TO_LIVE + TIME_TO_LIVE / 2).await;
    assert!(server.list("/services/s/").await.is_empty(), "its lease has ended");
    assert!(!registration.state().is_registered());
    assert_eq!(instancer.snapshot().instances().len(), 1, "the last good set is served");
    proxy.set(Mode::Pass);
    let took = back(&server, "s").await;
    assert!(took < BACK, "back after {took:?}");
    registration.registered().await;
}

#[tokio::test]
async fn a_registration_is_back_after_an_outage_of_its_time_to_live() {
    survives_an_outage_of(1).await;
}

#[tokio::test]
async fn a_registration_is_back_after_an_outage_of_many_times_its_time_to_live() {
    let soak = std::env::var_os("PURLIN_SOAK").is_some();
    survives_an_outage_of(if soak { 100 } else { 10 }).await;
}

#[tokio::test]
async fn a_registration_is_back_after_its_key_was_deleted_and_after_all_data_was_lost() {
    let server = Server::start().await;
    let etcd = etcd(server.address());
    let registration = register(&etcd, "s", TIME_TO_LIVE, "a");
    registration.registered().await;
    server.delete("/services/s/a").await;
    let took = back(&server, "s").await;
    assert!(took < BACK, "back {took:?} after it was deleted");
    server.wipe().await;
    let took = back(&server, "s").await;
    assert!(took < BACK, "back {took:?} after all was lost");
}

#[tokio::test]
async fn an_etcd_that_is_killed_or_stopped_takes_nothing_away() {
    let server = Server::start().await;
    let etcd = etcd(server.address());
    let mut instancer = follow(&etcd, "s");
    let registration = register(&etcd, "s", TIME_TO_LIVE, "a");
    found(&mut instancer, &["a"]).await;
    server.kill();
    server.restart().await;
    let other = register(&etcd, "s", TIME_TO_LIVE, "b");
    found(&mut instancer, &["a", "b"]).await;
    server.pause();
    // sleeps: so long that leases end and requests are given up.
    sleep(2 * TIME_TO_LIVE).await;
    assert_eq!(instancer.snapshot().instances().len(), 2);
    server.resume();
    other.registered().await;
    registration.registered().await;
    let third = register(&etcd, "s", TIME_TO_LIVE, "c");
    found(&mut instancer, &["a", "b", "c"]).await;
    third.deregister().await.unwrap();
}
