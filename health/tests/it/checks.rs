use futures_util::future::{join, join_all};
use purlin_health::{Check, Health};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, advance, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// A check that passes after so long, and how often it was asked.
fn counted(name: &'static str, takes: Duration) -> (Check, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let check = Check::new(name, move || {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            sleep(takes).await;
            Ok::<_, &str>(())
        }
    });
    (check, asked)
}

#[tokio::test(start_paused = true)]
async fn a_check_that_gives_no_answer_in_time_has_failed() {
    let health = Health::new();
    health.add(Check::new("db", pending::<Result<(), String>>).limit(2 * SECOND));
    let start = Instant::now();
    let report = health.report().await;
    assert_eq!(start.elapsed(), 2 * SECOND);
    assert_eq!(report.results[0].why.as_deref(), Some("no answer within 2s"));
    assert_eq!(report.results[0].took, 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn checks_are_asked_at_once_and_not_one_after_the_other() {
    let health = Health::new();
    for name in ["a", "b", "c"] {
        health.add(counted(name, SECOND / 2).0);
    }
    let start = Instant::now();
    assert!(health.report().await.is_ready());
    assert_eq!(start.elapsed(), SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_shared_by_all_who_ask_and_kept_while_it_is_fresh() {
    let health = Health::new();
    let (check, asked) = counted("db", SECOND / 2);
    health.add(check.fresh(3 * SECOND));
    let reports = join_all((0..100).map(|_| health.report())).await;
    assert!(reports.iter().all(purlin_health::Report::is_ready));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    advance(2 * SECOND).await;
    health.report().await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    advance(SECOND).await;
    health.report().await;
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn one_who_gives_up_does_not_take_the_answer_from_the_others() {
    let health = Health::new();
    health.add(counted("db", SECOND / 2).0);
    let (gave_up, report) = join(timeout(SECOND / 10, health.report()), health.report()).await;
    assert!(gave_up.is_err() && report.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_check_that_fails_or_panics_says_why() {
    let health = Health::new();
    health.check("db", || async { Err("connection refused") });
    health.check("cache", || async {
        assert_eq!(1, 2, "on purpose");
        Ok::<_, String>(())
    });
    let report = health.report().await;
    assert_eq!(report.to_string(), "not ready: db, cache");
    assert_eq!(report.results[0].why.as_deref(), Some("connection refused"));
    assert_eq!(report.results[1].why.as_deref(), Some("panicked"));
}

#[tokio::test(start_paused = true)]
async fn subscribers_learn_at_once_of_gates_and_of_the_end_of_serving() {
    let health = Health::new();
    let mut ready = health.subscribe();
    assert!(*ready.borrow_and_update());
    let gate = health.gate("registry");
    assert!(!*ready.borrow_and_update());
    gate.open();
    assert!(ready.has_changed().unwrap() && *ready.borrow_and_update());
    gate.open();
    assert!(!ready.has_changed().unwrap(), "nothing has changed");
    gate.close("lost its lease");
    assert!(!*ready.borrow_and_update());
    gate.set(true);
    health.clone().set_serving(false);
    assert!(!*ready.borrow_and_update() && !health.is_ready());
}

#[tokio::test(start_paused = true)]
async fn asking_now_and_then_tells_subscribers_what_no_one_asks() {
    let health = Health::new();
    let (check, asked) = counted("db", Duration::ZERO);
    health.add(check);
    assert!(!health.is_ready(), "nobody knows yet");
    let mut ready = health.subscribe();
    let watched = async {
        ready.wait_for(|ready| *ready).await.unwrap();
        sleep(25 * SECOND).await;
    };
    health.clone().ask_every(10 * SECOND, watched).await;
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_check_takes_the_place_of_another_of_its_name() {
    let health = Health::new();
    let forgotten = health.gate("registry");
    let gate = health.gate("registry");
    forgotten.open();
    assert!(!health.is_ready());
    gate.open();
    assert!(health.is_ready());
    assert_eq!(health.report().await.results.len(), 1);
}
