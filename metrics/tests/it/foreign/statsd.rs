use super::{
    process::{Process, listening, port, until},
    work,
};
use purlin_metrics::{Push, Registry, StatsD};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    task::JoinHandle,
};

/// A StatsD daemon, and what it has told its back end, added up by name.
struct Daemon {
    process: Process,
    address: String,
    managed: u16,
    told: Arc<Mutex<HashMap<String, f64>>>,
    listening: JoinHandle<()>,
}

impl Daemon {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let told = Arc::default();
        let (graphite, listening) = {
            let told = Arc::clone(&told);
            let port = listener.local_addr().unwrap().port();
            (port, tokio::spawn(async move { listen(listener, told).await }))
        };
        // Of UDP only the number matters, and most that are free for the one are for the other.
        let (udp, managed) = (port(), port());
        let process = Process::start("PURLIN_STATSD", |folder| {
            let config = format!(
                r#"{{
                    port: {udp}, address: "127.0.0.1", mgmt_port: {managed}, mgmt_address: "127.0.0.1",
                    flushInterval: 100, deleteIdleStats: true, backends: ["./backends/graphite"],
                    graphiteHost: "127.0.0.1", graphitePort: {graphite},
                    graphite: {{ legacyNamespace: false }}
                }}"#
            );
            let file = folder.join("config.js");
            std::fs::write(&file, config).unwrap();
            [file.display().to_string()]
        });
        let daemon =
            Self { process, address: format!("127.0.0.1:{udp}"), managed, told, listening };
        self::listening(daemon.managed).await;
        daemon
    }

    async fn shows(&self, name: &str, expected: f64) {
        until(&format!("{name} is {expected}"), || async {
            (self.told.lock().unwrap().get(name) == Some(&expected)).then_some(())
        })
        .await;
    }

    fn never_had(&self, name: &str) -> bool {
        self.told.lock().unwrap().get(name).is_none_or(|value| *value == 0.0)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, told: Arc<Mutex<HashMap<String, f64>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut words = line.split(' ');
            let (Some(name), Some(Ok(value))) = (words.next(), words.next().map(str::parse)) else {
                continue;
            };
            let value: f64 = value;
            *told.lock().unwrap().entry(name.to_owned()).or_default() += value;
        }
    }
}

#[tokio::test]
async fn the_statsd_daemon_tells_the_exact_count_and_sum() {
    let registry = Registry::new();
    let mut daemon = Daemon::start().await;
    let push = Push::new(&registry, StatsD::new(&daemon.address).prefix("test."));
    work(&registry);
    push.flush().await.unwrap();
    daemon.shows("stats.counters.test.jobs.queue.mail.count", 7.0).await;
    daemon.shows("stats.timers.test.took.queue.mail.count", 7.0).await;
    daemon.shows("stats.counters.test.took.queue.mail.sum.count", 2500.0).await;
    assert!(daemon.never_had("stats.counters.statsd.bad_lines_seen.count"));
    daemon.process.kill();
    work(&registry);
    // What is sent into the void may be noticed or not; it is the interval that is lost.
    let _ = push.flush().await;
    daemon.process.again();
    listening(daemon.managed).await;
    work(&registry);
    push.flush().await.unwrap();
    daemon.shows("stats.counters.test.jobs.queue.mail.count", 14.0).await;
    daemon.shows("stats.counters.test.took.queue.mail.sum.count", 5000.0).await;
}

#[tokio::test]
async fn the_daemon_understands_tags() {
    let registry = Registry::new();
    let daemon = Daemon::start().await;
    work(&registry);
    let dog = StatsD::dog(&daemon.address).tag("host", "a");
    Push::new(&registry, dog).flush().await.unwrap();
    // It keeps tags as Graphite does, after the name of what it makes of them.
    let told = |part: &str| {
        let told = daemon.told.lock().unwrap();
        let name = told.iter().find(|(name, _)| name.contains(part) && name.contains("host=a"));
        name.map(|(name, value)| (name.clone(), *value))
    };
    let (name, jobs) = until("jobs are told", || async { told("jobs") }).await;
    assert!(name.contains("queue=mail"), "{name}");
    // Of values of a type that it does not know it adds up all that they stand for.
    let (_, sum) = until("durations are told", || async { told("took") }).await;
    assert!(jobs > 0.0 && sum > 0.0);
    let timers = StatsD::dog(&daemon.address).timers().prefix("timed.");
    Push::new(&registry, timers).flush().await.unwrap();
    until("timers are told", || async {
        let told = daemon.told.lock().unwrap();
        let counts = told.iter().filter(|(name, _)| {
            name.contains("timed.took") && name.contains("queue=mail") && name.contains(".count")
        });
        (counts.filter(|(name, _)| !name.contains("count_")).map(|(_, count)| count).sum::<f64>()
            == 7.0)
            .then_some(())
    })
    .await;
}
