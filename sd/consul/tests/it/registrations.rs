//! Registrations, against an agent in memory.

use crate::fake::{Asked, Fake};
use purlin_sd::{Instance, Registrar, Registration, State};
use purlin_sd_consul::{Check, ConsulRegistry};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const TTL: Duration = Duration::from_secs(15);

fn start(registry: ConsulRegistry) -> Registration {
    Registrar::new().start(registry, Instance::new("10.0.0.7:9110")).unwrap()
}

const REGISTER: &str = "PUT /v1/agent/service/register";
const PASS: &str = "PUT /v1/agent/check/pass/service%3Agreeter-10.0.0.7%3A9110";

async fn expect(fake: &mut Fake, line: &str) -> Asked {
    let asked = fake.asked().await;
    assert_eq!(asked.line, line);
    asked
}

/// Makes it and confirms it.
async fn registered(fake: &mut Fake) {
    expect(fake, REGISTER).await.status(200, "");
    expect(fake, PASS).await.status(200, "");
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_registered_with_all_that_is_known_of_it() {
    let mut fake = Fake::new();
    let registry = fake
        .consul
        .registry("greeter")
        .tags(["v2"])
        .check(Check::http("http://10.0.0.7:9110/health", Duration::from_secs(10)));
    let _registration = start(registry.deregister_critical_after(Duration::from_secs(60)));
    let asked = expect(&mut fake, REGISTER).await;
    // Consul is told how long it is, and gets no pieces.
    let length = format!("\r\ncontent-length: {}\r\n", asked.body.len());
    assert!(asked.head.contains(&length) && !asked.head.contains("chunked"), "{}", asked.head);
    let told: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(
        told,
        serde_json::json!({
            "ID": "greeter-10.0.0.7:9110", "Name": "greeter", "Tags": ["v2"],
            "Address": "10.0.0.7", "Port": 9110, "Meta": {"purlin-id": "10.0.0.7:9110"},
            "Weights": {"Passing": 1, "Warning": 1},
            "Check": {
                "CheckID": "service:greeter-10.0.0.7:9110", "Status": "passing",
                "HTTP": "http://10.0.0.7:9110/health", "Interval": "10000ms", "Timeout": "10000ms",
                "DeregisterCriticalServiceAfter": "60000ms",
            },
        })
    );
    asked.status(200, "");
    // Nobody but the agent says whether it is well, so it is only asked for.
    let line = "GET /v1/agent/service/greeter-10.0.0.7%3A9110";
    expect(&mut fake, line).await.status(200, "{}");
    expect(&mut fake, line).await.status(404, "unknown service ID");
    expect(&mut fake, REGISTER).await;
}

#[tokio::test(start_paused = true)]
async fn it_is_confirmed_every_third_of_its_time() {
    let mut fake = Fake::new();
    let registration = start(fake.consul.registry("greeter").check(Check::ttl(TTL)));
    registered(&mut fake).await;
    registration.registered().await;
    let started = Instant::now();
    for _ in 0..9 {
        expect(&mut fake, PASS).await.status(200, "");
    }
    assert_eq!(started.elapsed().as_secs(), 9 * 5);
    let taken_back = tokio::spawn(registration.deregister());
    let line = "PUT /v1/agent/service/deregister/greeter-10.0.0.7%3A9110";
    expect(&mut fake, line).await.status(200, "");
    assert!(taken_back.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn it_is_back_soon_after_an_outage_of_1_10_and_100_times_its_time() {
    for times in [1, 10, 100] {
        let mut fake = Fake::new();
        let registration = start(fake.consul.registry("greeter").check(Check::ttl(TTL)));
        registered(&mut fake).await;
        fake.set_up(false);
        // sleeps: time is paused.
        sleep(TTL * times).await;
        assert!(matches!(registration.state(), State::Lost(_)));
        fake.set_up(true);
        let healed = Instant::now();
        registered(&mut fake).await;
        registration.registered().await;
        let limit = TTL / 3 + Duration::from_secs(1);
        assert!(healed.elapsed() <= limit, "{:?} after {times} TTL", healed.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_the_agent_has_forgotten_is_back_within_a_third_of_its_time_and_a_second() {
    // Older agents say 500.
    for status in [404, 500] {
        let mut fake = Fake::new();
        let registration = start(fake.consul.registry("greeter").check(Check::ttl(TTL)));
        registered(&mut fake).await;
        let forgotten = Instant::now();
        expect(&mut fake, PASS).await.status(status, "Unknown check ID");
        registered(&mut fake).await;
        registration.registered().await;
        assert!(forgotten.elapsed() <= TTL / 3 + Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_hangs_holds_up_nothing_for_ever() {
    let mut fake = Fake::new();
    let registration = start(fake.consul.registry("greeter"));
    for _ in 0..3 {
        let hanging = expect(&mut fake, REGISTER).await;
        let at = hanging.at;
        hanging.given_up().await;
        assert_eq!(at.elapsed().as_secs(), 2);
    }
    registered(&mut fake).await;
    registration.registered().await;
}

#[tokio::test(start_paused = true)]
async fn cs_9_what_is_not_there_is_taken_back_without_an_error() {
    let mut fake = Fake::new();
    let registration = start(fake.consul.registry("greeter"));
    registered(&mut fake).await;
    let taken_back = tokio::spawn(registration.deregister());
    fake.asked().await.status(404, "Unknown service ID");
    assert!(taken_back.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_consul_has_no_room_for_is_said_and_nobody_is_asked() {
    let mut fake = Fake::new();
    let instance = Instance { weight: 0, ..Instance::new("10.0.0.7:9110") };
    let registration = Registrar::new().start(fake.consul.registry("greeter"), instance).unwrap();
    let mut state = registration.subscribe();
    let state = state.wait_for(|state| matches!(state, State::Lost(_))).await.unwrap().clone();
    let State::Lost(why) = state else { unreachable!() };
    assert_eq!(why.to_string(), "weight must be from 1 to 65535 in Consul");
    assert!(timeout(TTL, fake.asked()).await.is_err());
}
