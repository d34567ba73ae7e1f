//! What the crate promises, tried on the networks of this machine, on ports of the tests' own.

mod bridge;
mod losses;
mod suite;

use purlin_sd::{Discovery, EmptyAnswer, Instance, Instancer, Registrar, Snapshot, State};
use purlin_sd_mdns::Mdns;
use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

/// On a port that nobody else has now.
fn apart() -> Mdns {
    Mdns::new().port(free_port())
}

fn free_port() -> u16 {
    UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

fn follow(mdns: &Mdns, service: &str) -> Instancer {
    Discovery::new().empty(EmptyAnswer::Believe).start(mdns.source(service)).unwrap()
}

/// Waits until this is seen, and says how long that took.
async fn seen(instancer: &mut Instancer, what: impl Fn(&Snapshot) -> bool) -> Duration {
    seen_within(PATIENCE, instancer, what).await
}

async fn seen_within(
    limit: Duration,
    instancer: &mut Instancer,
    what: impl Fn(&Snapshot) -> bool,
) -> Duration {
    let started = Instant::now();
    let wait = async {
        while !what(&instancer.snapshot()) {
            instancer.changed().await;
        }
    };
    assert!(timeout(limit, wait).await.is_ok(), "there is {:?}", instancer.snapshot());
    started.elapsed()
}

#[tokio::test]
async fn a_goodbye_is_believed_within_about_a_second() {
    let mdns = apart();
    let mut instancer = follow(&mdns, "s");
    for taken_back in [true, false] {
        let instance = Instance::new("127.0.0.1:7001");
        let registration = Registrar::new().start(mdns.registry("s"), instance).unwrap();
        seen(&mut instancer, |snapshot| snapshot.instances().len() == 1).await;
        if taken_back {
            registration.deregister().await.unwrap();
        } else {
            drop(registration);
        }
        let took = seen(&mut instancer, |snapshot| snapshot.instances().is_empty()).await;
        assert!(took < Duration::from_millis(1500), "{took:?}");
    }
}

#[tokio::test]
async fn who_comes_later_is_told_of_those_who_are_there_and_of_no_other_service() {
    let mdns = apart();
    let registrations = ["a", "b"].map(|id| {
        let instance = Instance { id: id.into(), ..Instance::new("127.0.0.1:7001") };
        Registrar::new().start(mdns.registry("s"), instance).unwrap()
    });
    let other = Registrar::new().start(mdns.registry("t"), Instance::new("127.0.0.1:7002"));
    let other = other.unwrap();
    for registration in registrations.iter().chain([&other]) {
        timeout(PATIENCE, registration.registered()).await.unwrap();
    }
    let mut instancer = follow(&mdns, "s");
    seen(&mut instancer, |snapshot| snapshot.instances().len() == 2).await;
    let found = instancer.snapshot();
    let ids: Vec<_> = found.instances().iter().map(|instance| instance.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
}

#[tokio::test]
async fn who_serves_at_all_addresses_is_found_at_one_of_them() {
    let mdns = apart();
    let mut instancer = follow(&mdns, "s");
    let instance = Instance { id: "a".into(), ..Instance::new("0.0.0.0:7001") };
    let _registration = Registrar::new().start(mdns.registry("s"), instance).unwrap();
    seen(&mut instancer, |snapshot| snapshot.instances().len() == 1).await;
    let found = instancer.snapshot().instances()[0].address.clone();
    let found: std::net::SocketAddr = found.parse().unwrap();
    assert!(found.port() == 7001 && !found.ip().is_unspecified(), "{found}");
}

#[tokio::test]
async fn what_cannot_be_announced_is_said() {
    let registration = Registrar::new().start(apart().registry("a.b"), Instance::new("0.0.0.0:1"));
    let mut states = registration.unwrap().subscribe();
    let lost = states.wait_for(|state| matches!(state, State::Lost(_)));
    assert!(timeout(PATIENCE, lost).await.is_ok());
}

/// A process that is killed answers no more, and says no goodbye: here, one whose records live for
/// two seconds instead of two minutes.
#[tokio::test]
async fn who_is_killed_is_gone_when_its_records_have_expired() {
    let port = free_port();
    let mut instancer = follow(&Mdns::new().port(port), "s");
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let answer = answer(2);
    let mut again = tokio::time::interval(Duration::from_millis(100));
    while instancer.snapshot().instances().is_empty() {
        tokio::select! {
            _ = again.tick() => {
                socket.send_to(&answer, ("224.0.0.251", port)).await.unwrap();
            }
            _ = instancer.changed() => {}
        }
    }
    assert_eq!(instancer.snapshot().instances()[0].address, "127.0.0.1:7001");
    let took = seen(&mut instancer, |snapshot| snapshot.instances().is_empty()).await;
    assert!(took < Duration::from_secs(4), "{took:?}");
}

/// All records of an instance of the service `s`, with this time to live.
fn answer(time_to_live: u32) -> Vec<u8> {
    let name = |name: &str| -> Vec<u8> {
        let labels = name.split('.').flat_map(|label| {
            std::iter::once(u8::try_from(label.len()).unwrap()).chain(label.bytes())
        });
        labels.chain([0]).collect()
    };
    let (service, instance, host) =
        (name("_s._tcp.local"), name("a._s._tcp.local"), name("h.local"));
    let srv = [&[0, 0, 0, 0][..], &7001_u16.to_be_bytes(), &host].concat();
    let records: [(&[u8], u16, u16, &[u8]); 4] = [
        (&service, 12, 1, &instance),
        (&instance, 33, 0x8001, &srv),
        (&instance, 16, 0x8001, b"\x04id=a"),
        (&host, 1, 0x8001, &[127, 0, 0, 1]),
    ];
    let mut answer = vec![0, 0, 0x84, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    for (name, kind, class, data) in records {
        answer.extend(name);
        answer.extend([kind, class].iter().flat_map(|number| number.to_be_bytes()));
        answer.extend(time_to_live.to_be_bytes());
        answer.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        answer.extend(data);
    }
    answer
}
