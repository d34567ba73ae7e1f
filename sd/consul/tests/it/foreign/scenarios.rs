//! Go kit's scenarios, and outages of a real agent.

use super::agent::Agent;
use purlin_sd::{
    Discovery, EmptyAnswer, Instance, Instancer, Registrar,
    conformance::{Mode, Proxy},
};
use purlin_sd_consul::{Check, Consul, ConsulSource};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

async fn consul(agent: &Agent) -> Consul {
    Consul::new(agent.url()).unwrap()
}

async fn found(source: ConsulSource) -> Vec<String> {
    let mut instancer = Discovery::new().start(source).unwrap();
    addresses(&instancer.known().await)
}

fn addresses(snapshot: &purlin_sd::Snapshot) -> Vec<String> {
    snapshot.instances().iter().map(|instance| instance.address.clone()).collect()
}

async fn sees(instancer: &mut Instancer, expected: impl Fn(&[std::sync::Arc<Instance>]) -> bool) {
    let seen = async { while !expected(instancer.changed().await.instances()) {} };
    let seen = timeout(Duration::from_secs(10), seen).await;
    assert!(seen.is_ok(), "{:?}", instancer.snapshot());
}

#[tokio::test]
async fn cs_1_to_4_services_are_told_apart_by_name_and_tags() {
    let agent = Agent::start().await;
    for (node, address, service) in [
        (
            "search-api-0",
            "10.0.0.0",
            json!({"Service": "search", "Port": 8000, "Tags": ["api", "v1"]}),
        ),
        (
            "search-api-1",
            "10.0.0.1",
            json!({"Service": "search", "Port": 8001, "Tags": ["api", "v2"]}),
        ),
        (
            "search-db-0",
            "10.0.0.2",
            json!({"Service": "search", "Address": "10.0.0.10", "Port": 9000, "Tags": ["db"]}),
        ),
    ] {
        let entry = json!({"Node": node, "Address": address, "Service": service});
        agent.put("catalog/register", &entry).await;
    }
    let consul = consul(&agent).await;
    let search = || consul.source("search");
    assert_eq!(found(search().tags(["api"])).await, ["10.0.0.0:8000", "10.0.0.1:8001"], "cs-1");
    assert!(found(consul.source("feed").tags(["feed"])).await.is_empty(), "cs-2");
    assert_eq!(found(search().tags(["api", "v2"])).await, ["10.0.0.1:8001"], "cs-3");
    assert_eq!(found(search().tags(["db"])).await, ["10.0.0.10:9000"], "cs-4");
    assert_eq!(found(search()).await.len(), 3);
}

#[tokio::test]
async fn cs_8_and_10_one_that_registers_is_found_until_it_is_gone() {
    let agent = Agent::start().await;
    let consul = consul(&agent).await.stale(true).datacenter("dc1");
    let discovery = Discovery::new().empty(EmptyAnswer::Believe);
    let mut instancer = discovery.start(consul.source("search").tags(["db"])).unwrap();
    assert!(instancer.known().await.instances().is_empty());
    let registry = consul.registry("search").tags(["api", "db"]);
    let registration = Registrar::new().start(registry, Instance::new("[::1]:9000")).unwrap();
    sees(&mut instancer, |set| set.len() == 1 && *set[0] == Instance::new("[::1]:9000")).await;
    registration.deregister().await.unwrap();
    sees(&mut instancer, <[_]>::is_empty).await;
}

#[tokio::test]
async fn one_that_fails_its_checks_is_left_out_or_marked() {
    let agent = Agent::start().await;
    let consul = consul(&agent).await;
    let mut passing =
        Discovery::new().empty(EmptyAnswer::Believe).start(consul.source("greeter")).unwrap();
    let mut all = Discovery::new().start(consul.source("greeter").passing(false)).unwrap();
    // Nobody listens where the agent will ask.
    let checks = [
        Check::http("http://127.0.0.1:9/health", Duration::from_secs(1)),
        Check::grpc("127.0.0.1:9/greeter", Duration::from_secs(1)),
    ];
    let start = |(port, check)| {
        let registry = consul.registry("greeter").check(check);
        let instance = Instance::new(format!("127.0.0.1:{port}"));
        Registrar::new().start(registry, instance).unwrap()
    };
    let registrations: Vec<_> = (1..).zip(checks).map(start).collect();
    for registration in &registrations {
        registration.registered().await;
    }
    sees(&mut all, |set| set.len() == 2 && set.iter().all(|instance| !instance.healthy)).await;
    sees(&mut passing, <[_]>::is_empty).await;
    assert!(registrations.iter().all(|registration| registration.state().is_registered()));
}

#[tokio::test]
async fn a_registration_is_back_soon_after_its_agent_was_killed_for_1_and_10_times_its_time() {
    let ttl = Duration::from_secs(1);
    let mut agent = Agent::start().await;
    let registry = consul(&agent).await.registry("greeter").check(Check::ttl(ttl));
    let registration = Registrar::new().start(registry, Instance::new("127.0.0.1:9110")).unwrap();
    registration.registered().await;
    let soak = std::env::var_os("PURLIN_SOAK").is_some();
    for times in if soak { &[1, 10, 100][..] } else { &[1, 10] } {
        agent.kill().await;
        // sleeps: the outage is what is tested.
        sleep(ttl * *times).await;
        agent.restart().await;
        let healed = Instant::now();
        while agent.passing("greeter").await != ["127.0.0.1:9110"] {
            let late = healed.elapsed();
            assert!(late <= ttl / 3 + Duration::from_secs(1), "{late:?} after {times} TTL");
            // sleeps: there is no event to wait for.
            sleep(Duration::from_millis(20)).await;
        }
    }
    registration.deregister().await.unwrap();
}

/// The agent goes on, and what it hears of the process is late.
#[tokio::test]
async fn one_whose_time_has_run_out_is_well_again_as_soon_as_it_is_heard() {
    let ttl = Duration::from_secs(1);
    let agent = Agent::start().await;
    let proxy = Proxy::start(agent.address()).unwrap();
    let consul = Consul::new(format!("http://{}", proxy.address())).unwrap();
    let registry = consul.registry("greeter").check(Check::ttl(ttl));
    let registration = Registrar::new().start(registry, Instance::new("127.0.0.1:9110")).unwrap();
    registration.registered().await;
    proxy.set(Mode::Hang);
    while !agent.passing("greeter").await.is_empty() {
        // sleeps: there is no event to wait for.
        sleep(Duration::from_millis(20)).await;
    }
    proxy.set(Mode::Pass);
    let healed = Instant::now();
    while agent.passing("greeter").await != ["127.0.0.1:9110"] {
        let late = healed.elapsed();
        assert!(late <= ttl / 3 + Duration::from_secs(1), "{late:?}");
        // sleeps: there is no event to wait for.
        sleep(Duration::from_millis(20)).await;
    }
    registration.deregister().await.unwrap();
}
