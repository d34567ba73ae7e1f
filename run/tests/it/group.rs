use purlin_run::{Group, Reason, Stop, Stopped};
use std::{
    future::pending,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

fn names(stopped: &Stopped) -> Vec<&str> {
    stopped.all().iter().map(|ended| ended.actor()).collect()
}

/// Writes down what happens, with the seconds since the start.
#[derive(Clone)]
struct Diary(Instant, Arc<Mutex<Vec<String>>>);

impl Diary {
    fn new() -> Self {
        Self(Instant::now(), Arc::default())
    }

    fn note(&self, what: &str) {
        self.1.lock().unwrap().push(format!("{} {what}", self.0.elapsed().as_secs()));
    }

    fn notes(&self) -> Vec<String> {
        self.1.lock().unwrap().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn the_stop_goes_through_its_steps_in_order() {
    let diary = Diary::new();
    let note = |what: &'static str| {
        let diary = diary.clone();
        async move { diary.note(what) }
    };
    let (served, stepped) = (diary.clone(), diary.clone());
    let stopped = Group::new()
        .actor("server", move |stop: Stop| async move {
            stop.clone().requested().await;
            assert!(stop.is_requested());
            served.note("server told");
            sleep(3 * SECOND).await;
            served.note("server drained");
        })
        .actor("job", |_| sleep(10 * SECOND))
        .on_stop("readiness", note("readiness off"))
        .on_stop("registry", async move {
            sleep(SECOND).await;
            stepped.note("deregistered");
        })
        .drain_delay(2 * SECOND)
        .flush("metrics", note("metrics flushed"))
        .flush("logs", note("logs flushed"))
        .run()
        .await;
    assert_eq!(
        diary.notes(),
        [
            "10 readiness off",
            "11 deregistered",
            "13 server told",
            "16 server drained",
            "16 metrics flushed",
            "16 logs flushed",
        ]
    );
    assert_eq!(names(&stopped), ["job", "readiness", "registry", "server", "metrics", "logs"]);
    assert!(stopped.into_result().is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_first_to_fail_stops_all_and_is_named() {
    let stopped = Group::new()
        .actor("http", |stop: Stop| stop.requested())
        .actor("grpc", |_| async { Err(io::Error::other("the address is in use")) })
        .run()
        .await;
    assert_eq!(stopped.first().to_string(), "grpc failed: the address is in use");
    assert_eq!(names(&stopped), ["grpc", "http"]);
    assert_eq!(stopped.into_result().unwrap_err().actor(), "grpc");
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_panics_stops_the_others_and_only_itself_is_lost() {
    let stopped = Group::new()
        .actor("http", |stop: Stop| stop.requested())
        .actor("job", |_| async { assert_eq!(1, 2, "on purpose") })
        .run()
        .await;
    assert!(
        matches!(stopped.first().reason(), Reason::Panicked(text) if text.contains("on purpose"))
    );
    assert!(matches!(stopped.all()[1].reason(), Reason::Completed));
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_does_not_stop_is_aborted_at_the_deadline_and_named() {
    let start = Instant::now();
    let stopped = Group::new()
        .actor("stuck", |_| pending::<()>())
        .actor("job", |_| async {})
        .deadline(7 * SECOND)
        .flush("logs", async {})
        .run()
        .await;
    assert_eq!(start.elapsed().as_secs(), 7);
    assert_eq!(names(&stopped), ["job", "stuck", "logs"]);
    assert_eq!(
        stopped.into_result().unwrap_err().to_string(),
        "stuck did not end within 7s and was aborted"
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_that_hangs_or_panics_does_not_keep_the_stop_from_going_on() {
    let start = Instant::now();
    let stopped = Group::new()
        .actor("http", |stop: Stop| stop.requested())
        .actor("job", |_| async {})
        .on_stop("registry", pending::<()>())
        .on_stop("readiness", async { assert_eq!(1, 2, "on purpose") })
        .step_limit(2 * SECOND)
        .run()
        .await;
    assert_eq!(start.elapsed().as_secs(), 2);
    assert_eq!(names(&stopped), ["job", "registry", "readiness", "http"]);
    let all = stopped.all();
    assert!(matches!(all[1].reason(), Reason::Aborted(limit) if *limit == 2 * SECOND));
    assert!(matches!(all[2].reason(), Reason::Panicked(_)));
    assert!(all[3].reason().is_fine());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_the_drain_delay_when_all_have_ended() {
    let start = Instant::now();
    Group::new().actor("job", |_| async {}).drain_delay(60 * SECOND).run().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn every_end_is_observed_as_it_happens() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    Group::new()
        .actor("http", |stop: Stop| stop.requested())
        .actor("job", |_| async { Err("no paper") })
        .observe(move |ended| log.lock().unwrap().push(ended.to_string()))
        .run()
        .await;
    assert_eq!(*seen.lock().unwrap(), ["job failed: no paper", "http completed"]);
}

#[tokio::test]
async fn a_group_of_nobody_ends_at_once() {
    assert!(Group::new().run().await.into_result().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_dropped_takes_its_actors_along() {
    let held = Arc::new(());
    let actors = held.clone();
    let group = Group::new().actor("stuck", move |_| async move {
        let _held = actors;
        pending::<()>().await;
    });
    tokio::time::timeout(SECOND, group.run()).await.unwrap_err();
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_done_on_start_comes_before_any_actor() {
    let (say, mut said) = tokio::sync::mpsc::unbounded_channel();
    let (one, two, three) = (say.clone(), say.clone(), say);
    Group::new()
        .on_start(move || one.send("started").unwrap())
        .actor("first", move |_| {
            two.send("first").unwrap();
            async {}
        })
        .actor("second", move |_| {
            three.send("second").unwrap();
            async {}
        })
        .run()
        .await;
    let mut order = Vec::new();
    while let Some(word) = said.recv().await {
        order.push(word);
    }
    assert_eq!(order, ["started", "first", "second"]);
}
