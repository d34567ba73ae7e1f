//! The loop that pushes, on a stopped clock.

use metrics::with_local_recorder;
use purlin_endpoint::{Backoff, BoxError, Inspect as _};
use purlin_metrics::{Backend, Deltas, Push, Registry, Snapshot, Value};
use std::{
    future::pending,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// A server that adds up what it is sent, may be down, and may hang.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    total: u64,
    at: Vec<Duration>,
    down: bool,
    hangs: bool,
}

struct Client {
    server: Server,
    deltas: Deltas,
    start: Instant,
}

impl Server {
    fn client(&self) -> Client {
        Client { server: self.clone(), deltas: Deltas::new(), start: Instant::now() }
    }

    fn set(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.0.lock().unwrap());
    }

    fn total(&self) -> u64 {
        self.0.lock().unwrap().total
    }

    /// When it was asked, in seconds.
    fn asked(&self) -> Vec<f64> {
        self.0.lock().unwrap().at.iter().map(Duration::as_secs_f64).collect()
    }
}

impl Backend for Client {
    async fn push(&mut self, snapshot: &Snapshot) -> Result<(), BoxError> {
        let hangs = {
            let mut told = self.server.0.lock().unwrap();
            told.at.push(self.start.elapsed());
            if told.down {
                return Err("down".into());
            }
            told.hangs
        };
        if hangs {
            pending::<()>().await;
        }
        for series in self.deltas.take(snapshot).families.iter().flat_map(|family| &family.series) {
            if let Value::Count(count) = series.value {
                self.server.set(|told| told.total += count);
            }
        }
        Ok(())
    }
}

fn count(registry: &Registry, jobs: u64) {
    with_local_recorder(registry, || metrics::counter!("jobs").increment(jobs));
}

const SECOND: Duration = Duration::from_secs(1);

fn push(registry: &Registry, server: &Server) -> Push<Client> {
    Push::new(registry, server.client()).backoff(Backoff::new(SECOND).jitter(0.0))
}

#[tokio::test(start_paused = true)]
async fn it_pushes_at_each_interval_and_once_more_at_the_stop() {
    let (registry, server) = (Registry::new(), Server::default());
    let push = push(&registry, &server);
    let stop = async {
        for _ in 0..7 {
            sleep(5 * SECOND).await;
            count(&registry, 1);
        }
    };
    push.run(stop).await;
    assert_eq!(server.asked(), [10.0, 20.0, 30.0, 35.0]);
    assert_eq!((server.total(), push.handle().pushed()), (7, 4));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_away_gets_all_of_it_once_it_is_back() {
    let (registry, server) = (Registry::new(), Server::default());
    let push = push(&registry, &server);
    server.set(|told| told.down = true);
    let handle = push.handle();
    let stop = async {
        count(&registry, 5);
        sleep(16 * SECOND).await;
        assert_eq!(handle.trouble().as_deref(), Some("down"));
        let shown = handle.snapshot();
        assert!(shown.starts_with("{\"pushed\":0,\"failed\":"), "{shown}");
        server.set(|told| told.down = false);
        count(&registry, 2);
        sleep(SECOND).await;
    };
    push.run(stop).await;
    // Retries come sooner than the interval, and further apart each time.
    assert_eq!(server.asked()[..3], [10.0, 11.0, 12.6]);
    assert_eq!((server.total(), handle.trouble()), (7, None));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_holds_the_stop_up_for_twice_the_patience_at_most() {
    let (registry, server) = (Registry::new(), Server::default());
    let push = push(&registry, &server).patience(3 * SECOND);
    server.set(|told| told.hangs = true);
    let start = Instant::now();
    push.run(sleep(10 * SECOND + SECOND / 2)).await;
    assert_eq!(start.elapsed(), 16 * SECOND);
    assert_eq!(push.handle().trouble().as_deref(), Some("not done within 3s"));
}

#[tokio::test(start_paused = true)]
async fn what_is_counted_after_the_stop_is_flushed() {
    let (registry, server) = (Registry::new(), Server::default());
    let push = push(&registry, &server);
    push.run(async {}).await;
    count(&registry, 3);
    push.clone().flush().await.unwrap();
    assert_eq!(server.total(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_push_gives_its_back_end_back() {
    let (registry, server) = (Registry::new(), Server::default());
    let push = push(&registry, &server);
    server.set(|told| told.hangs = true);
    {
        let mut running = pin!(push.run(pending()));
        timeout(11 * SECOND, &mut running).await.unwrap_err();
        let said = push.clone().flush().await.unwrap_err().to_string();
        assert_eq!(said, "another push runs");
    }
    server.set(|told| told.hangs = false);
    count(&registry, 3);
    push.flush().await.unwrap();
    assert_eq!(server.total(), 3);
}
