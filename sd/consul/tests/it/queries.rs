//! Blocking queries, against an agent in memory.

use crate::fake::{Fake, entry};
use purlin_endpoint::Code;
use purlin_sd::{Discovery, Instancer, Source};
use std::time::Duration;
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn follow(source: impl Source) -> Instancer {
    Discovery::new().start(source).unwrap()
}

fn addresses(instancer: &Instancer) -> Vec<String> {
    let snapshot = instancer.snapshot();
    snapshot.instances().iter().map(|instance| instance.address.clone()).collect()
}

/// Lets the tasks do what they have to do: time is paused.
async fn settle() {
    // sleeps: time is paused, so this only yields until everything is idle.
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn cs_7_each_query_waits_from_the_last_index() {
    let mut fake = Fake::new();
    let _instancer = follow(fake.consul.source("greeter"));
    let first = fake.asked().await;
    assert_eq!(first.line, "GET /v1/health/service/greeter?passing=1");
    first.tell(7, "[]");
    for index in 7..20 {
        let asked = fake.asked().await;
        let expected = format!("GET /v1/health/service/greeter?index={index}&wait=");
        assert!(asked.line.starts_with(&expected), "{}", asked.line);
        asked.tell(index + 1, "[]");
    }
}

#[tokio::test(start_paused = true)]
async fn cs_5_a_failure_keeps_the_set_and_the_next_query_follows() {
    let mut fake = Fake::new();
    let instancer = follow(fake.consul.source("greeter"));
    fake.asked().await.tell(7, &format!("[{}]", entry(9110)));
    let failed = fake.asked().await;
    let at = Instant::now();
    failed.status(500, "No cluster leader");
    let next = fake.asked().await;
    assert!(at.elapsed() <= 2 * SECOND, "{:?}", at.elapsed());
    assert_eq!(next.line, "GET /v1/health/service/greeter?passing=1", "the index is forgotten");
    assert_eq!(addresses(&instancer), ["10.0.0.1:9110"]);
    let said = instancer.snapshot().error().unwrap().to_string();
    assert!(said.starts_with("http://consul:8500/v1/health/service/greeter?index=7"), "{said}");
    assert!(said.contains("500") && said.ends_with("No cluster leader"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn cs_6_an_index_that_goes_backwards_leaves_its_answer_and_is_forgotten() {
    let mut fake = Fake::new();
    let instancer = follow(fake.consul.source("greeter"));
    fake.asked().await.tell(100, &format!("[{}]", entry(1)));
    fake.asked().await.tell(99, &format!("[{}]", entry(2)));
    let asked = fake.asked().await;
    assert!(!asked.line.contains("index"), "{}", asked.line);
    assert_eq!(addresses(&instancer), ["10.0.0.1:2"]);
    asked.tell(99, "[]");
    assert!(fake.asked().await.line.contains("index=99"));
}

#[tokio::test(start_paused = true)]
async fn answers_that_come_at_once_are_asked_for_once_a_second() {
    let indices: [fn(u64) -> u64; 3] = [|query| query, |_| 0, |query| query % 2];
    for index in indices {
        let mut fake = Fake::new();
        let _instancer = follow(fake.consul.source("greeter"));
        let started = Instant::now();
        let mut queries = 0;
        while started.elapsed() < 60 * SECOND {
            let asked = fake.asked().await;
            queries += 1;
            asked.tell(index(queries), "[]");
        }
        // A burst of two, and then one a second.
        assert!((61..=62).contains(&queries), "{queries} queries in a minute");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_a_query_waits_for_a_second_first() {
    let mut fake = Fake::new();
    let _instancer = follow(fake.consul.source("greeter"));
    fake.asked().await.tell(7, "[]");
    let at_once = fake.asked().await;
    assert!(at_once.line.contains("index=7&wait=10000ms"), "{}", at_once.line);
    at_once.tell(8, "[]");
    let after_a_pause = fake.asked().await;
    assert!(after_a_pause.line.contains("index=8&wait=1000ms"), "{}", after_a_pause.line);
    // sleeps: time is paused; this is the agent's wait.
    tokio::time::sleep(SECOND).await;
    after_a_pause.tell(8, "[]");
    let at_rest = fake.asked().await;
    assert!(at_rest.line.contains("index=8&wait=10000ms"), "{}", at_rest.line);
}

#[tokio::test(start_paused = true)]
async fn an_index_of_0_waits_from_1() {
    let mut fake = Fake::new();
    let _instancer = follow(fake.consul.source("greeter"));
    fake.asked().await.tell(0, "[]");
    assert!(fake.asked().await.line.contains("?index=1&wait="));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_makes_no_sense_names_its_url_and_keeps_the_set() {
    let mut fake = Fake::new();
    let instancer = follow(fake.consul.source("greeter"));
    fake.asked().await.tell(7, &format!("[{}]", entry(9110)));
    let too_large = format!("[{}]", " ".repeat(16 << 20));
    for (text, expected) in [
        (r#"[{"Node": {"#, "EOF while parsing"),
        (r#"{"error": 1}"#, "expected a sequence"),
        (r#"[{"Node": {"Node": "n", "Address": "a"}}]"#, "missing field `Service`"),
        (&too_large, "length limit exceeded"),
    ] {
        let asked = loop {
            // The first query after a failure begins anew.
            let asked = fake.asked().await;
            match asked.line.contains("index") {
                true => break asked,
                false => asked.tell(7, &format!("[{}]", entry(9110))),
            }
        };
        asked.tell(8, text);
        settle().await;
        let said = instancer.snapshot().error().unwrap().to_string();
        assert!(said.starts_with("http://consul:8500/v1/health/service/greeter?"), "{said}");
        assert!(said.contains(expected), "{said}");
        assert_eq!(addresses(&instancer), ["10.0.0.1:9110"]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_lets_go_closes_the_query() {
    let mut fake = Fake::new();
    let instancer = follow(fake.consul.source("greeter"));
    fake.asked().await.tell(7, "[]");
    let waiting = fake.asked().await;
    drop(instancer);
    let closed = timeout(Duration::from_millis(100), waiting.given_up()).await;
    assert!(closed.is_ok(), "the query is still there");
}

#[tokio::test(start_paused = true)]
async fn a_query_that_is_never_answered_is_given_up_a_while_after_its_wait() {
    let mut fake = Fake::new();
    let consul = fake.consul.clone().wait(16 * SECOND).patience(3 * SECOND);
    let mut instancer = follow(consul.source("greeter"));
    fake.asked().await.tell(7, "[]");
    instancer.known().await;
    let waiting = fake.asked().await;
    let at = waiting.at;
    waiting.given_up().await;
    // A sixteenth of the wait is the agent's.
    assert_eq!(at.elapsed().as_secs(), 16 + 1 + 3);
    settle().await;
    assert_eq!(instancer.snapshot().error().unwrap().code(), Code::DeadlineExceeded);
}

/// The agent, or the way to it, is gone without a word in the middle of a query at rest.
#[tokio::test(start_paused = true)]
async fn an_agent_that_falls_silent_is_noticed_within_13_s_and_asked_6_times_a_minute_at_rest() {
    let mut fake = Fake::new();
    let mut instancer = follow(fake.consul.source("greeter"));
    fake.asked().await.tell(7, &format!("[{}]", entry(9110)));
    instancer.known().await;
    let rest = Instant::now();
    let mut queries = 0;
    while rest.elapsed() < 60 * SECOND {
        let asked = fake.asked().await;
        queries += 1;
        // sleeps: time is paused; this is the agent's wait, but for a query after a pause.
        tokio::time::sleep(if asked.line.contains("=1000ms") { SECOND } else { 10 * SECOND }).await;
        asked.tell(7, &format!("[{}]", entry(9110)));
    }
    assert!(queries <= 7, "{queries} queries in a minute");

    let silent = fake.asked().await;
    let at = silent.at;
    silent.given_up().await;
    // 10 s, a sixteenth of it, and the patience of 2 s.
    assert_eq!(at.elapsed().as_millis() / 10, 1262);
    settle().await;
    assert_eq!(instancer.snapshot().error().unwrap().code(), Code::DeadlineExceeded);
    assert_eq!(addresses(&instancer), ["10.0.0.1:9110"]);
    let given_up = Instant::now();
    fake.asked().await.tell(8, &format!("[{}]", entry(9120)));
    settle().await;
    assert!(given_up.elapsed() <= 2 * SECOND);
    assert_eq!(addresses(&instancer), ["10.0.0.1:9120"]);
}

#[tokio::test(start_paused = true)]
async fn options_are_told_to_the_agent_and_the_token_to_nobody_else() {
    let mut fake = Fake::new();
    let consul = fake.consul.clone().token("s3cret").datacenter("dc 2").namespace("team/a");
    let consul = consul.stale(true).wait(300 * SECOND);
    let source = consul.source("gr\u{fc}ß").tags(["api", "v 1"]).passing(false);
    assert!(!format!("{consul:?} {source:?}").contains("s3cret"));
    let instancer = follow(source);
    let asked = fake.asked().await;
    assert_eq!(
        asked.line,
        "GET /v1/health/service/gr%C3%BC%C3%9F?stale=1&tag=api&tag=v%201&dc=dc%202&ns=team%2Fa"
    );
    assert!(asked.head.contains("x-consul-token: s3cret\r\n"), "{}", asked.head);
    asked.tell(7, "[]");
    let asked = fake.asked().await;
    assert!(asked.line.contains("?index=7&wait=300000ms&stale=1&tag=api"), "{}", asked.line);
    asked.status(403, "Permission denied");
    settle().await;
    let error = instancer.snapshot().error().unwrap().clone();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(!format!("{error:?} {error:#}").contains("s3cret"));
}

#[tokio::test(start_paused = true)]
async fn what_others_have_registered_is_found_too() {
    let mut fake = Fake::new();
    let mut instancer = follow(fake.consul.source("db").tags(["b"]).passing(false));
    fake.asked().await.tell(
        7,
        r#"[{"Node": {"Node": "n1", "Address": "10.0.0.1"}, "Checks": [{"Status": "critical"}],
             "Service": {"ID": "db", "Address": "", "Port": 1, "Tags": ["a", "b"],
                         "Meta": {"zone": "eu-1", "x": "y"}, "Weights": {"Passing": 5, "Warning": 1}}},
            {"Node": {"Node": "n2", "Address": "10.0.0.2"}, "Checks": [],
             "Service": {"ID": "db", "Address": "::1", "Port": 2, "Tags": ["b"], "Meta": null}},
            {"Node": {"Node": "n3", "Address": "10.0.0.3"}, "Checks": [],
             "Service": {"ID": "db", "Port": 0, "Tags": ["b"]}},
            {"Node": {"Node": "n4", "Address": "10.0.0.4"}, "Checks": [],
             "Service": {"ID": "db", "Port": 4, "Tags": null}}]"#,
    );
    let snapshot = instancer.known().await;
    let [one, two] = &**snapshot.instances() else { panic!("{snapshot:?}") };
    assert_eq!((&*one.id, &*one.address, one.healthy), ("n1/db", "10.0.0.1:1", false));
    assert_eq!((one.weight, one.zone.as_deref(), one.version.as_deref()), (5, Some("eu-1"), None));
    assert_eq!(one.metadata, [("x".to_owned(), "y".to_owned())].into());
    assert_eq!((&*two.id, &*two.address, two.weight), ("n2/db", "[::1]:2", 1));
    assert!(two.healthy);
    let left_out = snapshot.error().unwrap().to_string();
    assert_eq!(left_out, "the service db of n3 has no port");
}

#[test]
fn a_url_must_be_one() {
    use purlin_sd_consul::Consul;
    for url in ["", "127.0.0.1:8500", "/v1", "ftp://127.0.0.1", "http://"] {
        assert_eq!(Consul::new(url).unwrap_err().field, "url", "{url}");
    }
}
