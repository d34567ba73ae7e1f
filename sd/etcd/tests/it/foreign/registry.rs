use super::{PATIENCE, etcd, follow, found, instance, register, server::Server};
use purlin_endpoint::Code;
use purlin_sd::{Registrar, Registry, State, conformance::Proxy};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn etcd_7_who_registers_is_found_and_who_deregisters_is_gone_and_leaves_no_socket() {
    let server = Server::start().await;
    // etcd is a client of itself, so only its proxy knows ours.
    let proxy = Proxy::start(server.address()).unwrap();
    let etcd = etcd(proxy.address());
    let mut instancer = follow(&etcd, "s");
    let registration = register(&etcd, "s", LONG, "a");
    found(&mut instancer, &["a"]).await;
    assert_eq!(server.list("/services/s/").await, ["/services/s/a"]);
    assert!(sockets(proxy.address().port()) >= 2);
    registration.deregister().await.unwrap();
    found(&mut instancer, &[]).await;
    drop(instancer);
    let closed = async {
        while sockets(proxy.address().port()) > 0 {
            // sleeps: the kernel says nothing when a connection has ended.
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, closed).await.unwrap();
}

#[tokio::test]
async fn etcd_3_taking_back_what_is_not_there_is_no_error() {
    let server = Server::start().await;
    let mut registry = etcd(server.address()).registry("s");
    registry.withdraw(&instance("a")).await.unwrap();
}

#[tokio::test]
async fn etcd_6_what_becomes_of_a_registration_is_said() {
    let server = Server::start().await;
    let registration = register(&etcd(server.address()), "s", LONG, "a");
    let mut states = registration.subscribe();
    assert!(matches!(*states.borrow_and_update(), State::Pending));
    states.changed().await.unwrap();
    assert!(states.borrow_and_update().is_registered());
    server.delete("/services/s/a").await;
    states.changed().await.unwrap();
    let State::Lost(why) = states.borrow_and_update().clone() else { panic!("it is lost") };
    assert_eq!(why.message(), "/services/s/a was deleted");
    states.changed().await.unwrap();
    assert!(states.borrow_and_update().is_registered());
}

#[tokio::test]
async fn who_is_heard_of_no_more_is_gone_when_its_time_is_over() {
    let server = Server::start().await;
    let etcd = etcd(server.address());
    let mut instancer = follow(&etcd, "s");
    let registration = register(&etcd, "s", SHORT, "a");
    found(&mut instancer, &["a"]).await;
    // sleeps: longer than the time to live, in which it is renewed.
    sleep(2 * SHORT).await;
    assert_eq!(instancer.snapshot().instances().len(), 1);
    drop(registration);
    let took = found(&mut instancer, &[]).await;
    assert!(took > SHORT / 2 && took < 2 * SHORT, "{took:?}");
}

#[tokio::test]
async fn of_two_under_one_id_the_later_stays_when_the_earlier_goes() {
    let server = Server::start().await;
    let etcd = etcd(server.address());
    let earlier = register(&etcd, "s", LONG, "a");
    earlier.registered().await;
    let later = register(&etcd, "s", LONG, "a");
    later.registered().await;
    earlier.deregister().await.unwrap();
    assert_eq!(server.list("/services/s/").await, ["/services/s/a"]);
    assert!(later.state().is_registered());
    later.deregister().await.unwrap();
    assert!(server.list("/services/s/").await.is_empty());
}

#[tokio::test]
async fn who_may_not_is_refused_and_who_may_is_let_in_after_a_restart_too() {
    let server = Server::start().await;
    server.protect("s3cret").await;
    let stranger = etcd(server.address()).user("root", "guess");
    let refused = register(&stranger, "s", LONG, "a");
    let mut states = refused.subscribe();
    states.changed().await.unwrap();
    let state = states.borrow().clone();
    assert!(matches!(state, State::Lost(why) if why.code() == Code::InvalidArgument));

    let known = etcd(server.address()).user("root", "s3cret");
    let mut instancer = follow(&known, "s");
    let registration = register(&known, "s", SHORT, "b");
    found(&mut instancer, &["b"]).await;
    // The tokens it gave are forgotten.
    server.kill();
    let registry = known.registry("s");
    let other = Registrar::new().start(registry, instance("c")).unwrap();
    server.spawn_again();
    found(&mut instancer, &["b", "c"]).await;
    other.deregister().await.unwrap();
    registration.deregister().await.unwrap();
    let started = Instant::now();
    found(&mut instancer, &[]).await;
    assert!(started.elapsed() < SHORT);
}

/// How many connections to a port of this machine there are.
fn sockets(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let established = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        let to = fields.next().is_some_and(|to| to.ends_with(&format!(":{port:04X}")));
        to && fields.next() == Some("01")
    };
    table.lines().filter(established).count()
}
