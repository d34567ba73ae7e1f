use super::{etcd, follow, found, instance, register, server::Server};
use purlin_endpoint::Code;
use purlin_sd::{
    Instance,
    conformance::{Mode, Proxy},
};
use purlin_sd_etcd::Etcd;
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test]
async fn etcd_5_what_anybody_has_written_is_found() {
    let server = Server::start().await;
    let mut instancer = follow(&etcd(server.address()), "s");
    found(&mut instancer, &[]).await;
    server.put("/services/s/a", r#"{"address": "10.0.0.7:9110"}"#).await;
    found(&mut instancer, &["10.0.0.7:9110"]).await;
    assert_eq!(*instancer.snapshot().instances()[0], Instance::new("10.0.0.7:9110"));
    server.put("/services/s/b/c", r#"{"id": "b", "address": "10.0.0.8:9110"}"#).await;
    found(&mut instancer, &["10.0.0.7:9110", "b"]).await;
    // Another service whose name begins alike.
    server.put("/services/st/a", r#"{"id": "d", "address": "10.0.0.9:9110"}"#).await;
    server.delete("/services/s/a").await;
    found(&mut instancer, &["b"]).await;
}

#[tokio::test]
async fn etcd_4_each_change_is_told_and_what_is_no_instance_is_said_and_left_out() {
    let server = Server::start().await;
    let etcd = etcd(server.address()).prefix("/deep/er/");
    server.put("/deep/er/s/a", "10.0.0.7:9110").await;
    server.put("/deep/er/s/b", r#"{"id": "b", "address": "10.0.0.8:9110"}"#).await;
    let mut instancer = follow(&etcd, "s");
    found(&mut instancer, &["b"]).await;
    let said = instancer.snapshot().error().unwrap().clone();
    assert_eq!(said.code(), Code::DataLoss);
    assert!(said.message().starts_with("/deep/er/s/a is no instance: "), "{said}");
    server.put("/deep/er/s/a", r#"{"id": "a", "address": "10.0.0.7:9110"}"#).await;
    found(&mut instancer, &["a", "b"]).await;
    assert!(instancer.snapshot().error().is_none());
    server.put("/deep/er/s/a", "{}").await;
    found(&mut instancer, &["b"]).await;
}

/// What etcd says arrives late, so that it forgets what is to be watched before the watch begins.
#[tokio::test]
async fn a_compaction_between_list_and_watch_has_it_listed_again() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.address()).unwrap();
    proxy.set(Mode::Delay(Duration::from_millis(500)));
    let mut instancer = follow(&etcd(proxy.address()), "s");
    // sleeps: until the list is made and on its way.
    sleep(Duration::from_millis(250)).await;
    server.put("/services/s/a", r#"{"id": "a", "address": "x:1"}"#).await;
    server.compact().await;
    let mut said = Vec::new();
    while instancer.snapshot().instances().is_empty() {
        let seen = tokio::time::timeout(super::PATIENCE, instancer.changed()).await.unwrap();
        said.extend(seen.error().map(|error| error.code()));
    }
    assert_eq!(said, [Code::OutOfRange]);
    // And it is followed from there.
    server.put("/services/s/b", r#"{"id": "b", "address": "x:2"}"#).await;
    found(&mut instancer, &["a", "b"]).await;
}

#[tokio::test]
async fn one_of_several_members_is_enough() {
    let server = Server::start().await;
    let silent = Proxy::start(server.address()).unwrap();
    silent.set(Mode::Hang);
    let members = [
        "http://127.0.0.1:1".to_owned(),
        format!("http://{}", silent.address()),
        format!("http://{}", server.address()),
    ];
    let etcd = Etcd::new(members).unwrap().patience(Duration::from_millis(300));
    let mut instancer = follow(&etcd, "s");
    let registration = register(&etcd, "s", Duration::from_secs(15), "a");
    found(&mut instancer, &["a"]).await;
    assert!(registration.deregister().await.is_ok());
}

#[tokio::test]
async fn a_member_that_falls_silent_is_noticed_within_seconds_and_the_next_is_asked() {
    let server = Server::start().await;
    let (one, other) =
        (Proxy::start(server.address()).unwrap(), Proxy::start(server.address()).unwrap());
    let members = [one.address(), other.address()].map(|address| format!("http://{address}"));
    let etcd = Etcd::new(members).unwrap();
    let mut instancer = follow(&etcd, "s");
    found(&mut instancer, &[]).await;
    for silent in [&one, &other] {
        // Whichever it follows, it does not hear of what changes then.
        silent.set(Mode::Hang);
        let id = silent.address().to_string();
        let mut all: Vec<String> =
            instancer.snapshot().instances().iter().map(|i| i.id.clone()).collect();
        all.push(id.clone());
        all.sort();
        server
            .put(&format!("/services/s/{id}"), &serde_json::to_string(&instance(&id)).unwrap())
            .await;
        let took = found(&mut instancer, &all.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert!(took < Duration::from_secs(6), "{took:?}");
        silent.set(Mode::Pass);
    }
}
