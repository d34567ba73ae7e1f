//! What is lost on the way, and those who are gone without a word.

use crate::{
    bridge::{Bridge, Weather},
    follow, seen, seen_within,
};
use purlin_sd::{Instance, Instancer, Registrar, Registration, Snapshot};
use purlin_sd_mdns::Mdns;
use std::time::Duration;
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn register(bridge: &Bridge, id: &str, port: u16) -> Registration {
    let mdns = Mdns::new().port(bridge.serving());
    let instance = Instance { id: id.into(), ..Instance::new(format!("127.0.0.1:{port}")) };
    Registrar::new().start(mdns.registry("s"), instance).unwrap()
}

fn look(bridge: &Bridge) -> Mdns {
    Mdns::new().port(bridge.looking())
}

fn ids(instancer: &Instancer) -> Vec<String> {
    let snapshot = instancer.snapshot();
    snapshot.instances().iter().map(|instance| instance.id.clone()).collect()
}

async fn sees(instancer: &mut Instancer, expected: &[&str]) -> Duration {
    let are = |snapshot: &Snapshot| {
        snapshot
            .instances()
            .iter()
            .map(|instance| instance.id.as_str())
            .eq(expected.iter().copied())
    };
    seen(instancer, are).await
}

#[tokio::test]
async fn who_is_killed_or_whose_goodbye_is_lost_is_gone_within_three_rounds() {
    for (interval, most) in [(None, 12), (Some(SECOND), 3)] {
        let bridge = Bridge::start();
        let mdns = look(&bridge);
        let mdns = interval.map_or(mdns.clone(), |interval| mdns.interval(interval));
        let mut instancer = follow(&mdns, "s");
        let registration = register(&bridge, "a", 7001);
        sees(&mut instancer, &["a"]).await;
        bridge.set(Weather::Silent).await;
        registration.deregister().await.unwrap();
        // sleeps: it says goodbye twice, and is silent from then on, whoever may ask.
        tokio::time::sleep(SECOND / 2).await;
        bridge.set(Weather::Fine).await;
        let limit = (most + 5) * SECOND;
        let none = |seen: &Snapshot| seen.instances().is_empty();
        let took = seen_within(limit, &mut instancer, none).await;
        assert!(took <= most * SECOND + SECOND / 2, "{took:?} with {interval:?}");
        assert!(took >= (most - most / 3 - 1) * SECOND, "{took:?} with {interval:?}: too soon");
    }
}

#[tokio::test]
async fn a_goodbye_is_heard_in_whatever_part_of_a_round_it_comes() {
    let bridge = Bridge::start();
    let mut instancer = follow(&look(&bridge).interval(SECOND), "s");
    // Rounds are a second long, and so is a goodbye.
    let mut missed = 0;
    for _ in 0..4 {
        let registration = register(&bridge, "a", 7001);
        sees(&mut instancer, &["a"]).await;
        registration.deregister().await.unwrap();
        let took = sees(&mut instancer, &[]).await;
        missed += u32::from(took > 3 * SECOND / 2);
        assert!(took <= 7 * SECOND / 2, "{took:?}");
    }
    // One that comes in the very moment in which everybody is asked anew is as good as lost, and two
    // do not.
    assert!(missed <= 1, "{missed} goodbyes were missed");
}

#[tokio::test]
async fn one_in_ten_datagrams_may_be_lost_and_nobody_is() {
    let bridge = Bridge::start();
    let mut instancer = follow(&look(&bridge), "s");
    bridge.set(Weather::Lossy(10)).await;
    let _a = register(&bridge, "a", 7001);
    let _b = register(&bridge, "b", 7002);
    sees(&mut instancer, &["a", "b"]).await;
    let begun = Instant::now();
    // As long as it takes until who is silent is gone.
    while begun.elapsed() < 13 * SECOND {
        let _ = timeout(SECOND, instancer.changed()).await;
        assert_eq!(ids(&instancer), ["a", "b"]);
    }
}

#[tokio::test]
async fn whose_announcement_is_lost_is_found_within_two_seconds_of_when_the_network_is_back() {
    let bridge = Bridge::start();
    let mut instancer = follow(&look(&bridge), "s");
    instancer.known().await;
    bridge.set(Weather::Silent).await;
    let registration = register(&bridge, "a", 7001);
    registration.registered().await;
    // sleeps: it is announced once more after a second, and then never again.
    tokio::time::sleep(5 * SECOND).await;
    bridge.set(Weather::Fine).await;
    let took = sees(&mut instancer, &["a"]).await;
    assert!(took <= 5 * SECOND / 2, "{took:?}");
}

#[tokio::test]
async fn an_announcement_that_comes_after_its_goodbye_is_not_believed_for_long() {
    let bridge = Bridge::start();
    let mut instancer = follow(&look(&bridge).interval(SECOND), "s");
    let registration = register(&bridge, "a", 7001);
    sees(&mut instancer, &["a"]).await;
    registration.deregister().await.unwrap();
    sees(&mut instancer, &[]).await;
    bridge.repeat_answers().await;
    sees(&mut instancer, &["a"]).await;
    let took = sees(&mut instancer, &[]).await;
    assert!(took <= 7 * SECOND / 2, "{took:?}");
}

#[tokio::test]
async fn of_two_under_one_name_one_is_found_and_the_other_when_it_is_gone() {
    let bridge = Bridge::start();
    let mut instancer = follow(&look(&bridge), "s");
    let earlier = register(&bridge, "a", 7001);
    sees(&mut instancer, &["a"]).await;
    let later = register(&bridge, "a", 7002);
    let at = |address: &'static str| {
        move |snapshot: &Snapshot| {
            snapshot.instances().iter().map(|instance| instance.address.as_str()).eq([address])
        }
    };
    seen(&mut instancer, at("127.0.0.1:7002")).await;
    later.deregister().await.unwrap();
    seen(&mut instancer, at("127.0.0.1:7001")).await;
    drop(earlier);
    sees(&mut instancer, &[]).await;
}
