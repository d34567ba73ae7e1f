//! A simulated server and its callers, on a clock that stands still while anybody works.
//!
//! The server is the unkind one: 20 workers, a queue without end, and no way to notice that a caller
//! has given up, so it finishes work that nobody waits for. The callers are unkind as well: they
//! don't slow down, and try twice more what fails.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use fastrand::Rng;
use purlin_concurrency::ConcurrencyLimit;
use purlin_endpoint::{BoxEndpoint, Context, Endpoint as _, Error, Layer as _, endpoint_fn};
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::Failure;

/// What the server can do: 20 workers at 20 ms.
pub(crate) const CAPACITY: f64 = 1000.0;
const WORKERS: usize = 20;
const SERVICE_MILLIS: RangeInclusive<u64> = 10..=30;

/// How long a caller waits for an answer, and how often it tries.
const PATIENCE: Duration = Duration::from_millis(250);
const ATTEMPTS: u32 = 3;
const BACKOFF_MILLIS: RangeInclusive<u64> = 50..=150;

/// What happens in one run.
#[derive(Clone)]
pub(crate) struct Scene {
    /// Calls a second, as a multiple of the capacity. Retries come on top.
    pub(crate) load: f64,
    pub(crate) seconds: usize,
    /// From and until which second the server has half its capacity.
    pub(crate) halved: (usize, usize),
    pub(crate) limit: Option<ConcurrencyLimit>,
}

/// What was seen in each second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    /// Answers that came while their caller waited.
    pub(crate) good: Vec<u32>,
    /// How long these took, in microseconds.
    pub(crate) took: Vec<Vec<u32>>,
}

impl Seen {
    /// Good answers a second, from this second on.
    pub(crate) fn goodput(&self, from: usize) -> f64 {
        let good = &self.good[from..];
        f64::from(good.iter().sum::<u32>()) / good.len() as f64
    }

    /// The latency in milliseconds that 99 of 100 good answers kept, from this second on.
    pub(crate) fn p99(&self, from: usize) -> Option<f64> {
        let mut took: Vec<u32> = self.took[from..].concat();
        took.sort_unstable();
        took.get(took.len() * 99 / 100).map(|&took| f64::from(took) / 1000.0)
    }
}

/// Runs a scene to its end. The same scene is always seen the same.
pub(crate) fn watch(scene: &Scene) -> Result<Seen, Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let tasks = LocalSet::new();
    let seen = Rc::new(RefCell::new(Seen {
        good: vec![0; scene.seconds],
        took: vec![Vec::new(); scene.seconds],
    }));
    tasks.block_on(&runtime, play(scene.clone(), seen.clone()))?;
    drop(tasks);
    Ok(seen.take())
}

/// The server, as its callers reach it.
struct Server {
    endpoint: BoxEndpoint<Duration, ()>,
    /// How many times slower than in good health its workers are.
    slowness: Arc<AtomicU64>,
}

impl Server {
    fn new(limit: Option<ConcurrencyLimit>) -> Result<Self, Failure> {
        let workers = Arc::new(Semaphore::new(WORKERS));
        let slowness = Arc::new(AtomicU64::new(1));
        let speed = slowness.clone();
        let work = endpoint_fn(move |_: Context, service: Duration| {
            let (workers, speed) = (workers.clone(), speed.clone());
            async move {
                let _worker = workers.acquire().await.map_err(Error::internal)?;
                sleep(service * speed.load(Relaxed) as u32).await;
                Ok::<_, Error>(())
            }
        });
        let endpoint = match limit {
            Some(limit) => BoxEndpoint::new(limit.layer()?.layer(work)),
            None => BoxEndpoint::new(work),
        };
        Ok(Self { endpoint, slowness })
    }
}

async fn play(scene: Scene, seen: Rc<RefCell<Seen>>) -> Result<(), Failure> {
    let server = Rc::new(Server::new(scene.limit)?);
    let random = Rc::new(RefCell::new(Rng::with_seed(42)));
    let start = Instant::now();
    let end = start + Duration::from_secs(scene.seconds as u64);
    let gap = (1e9 / (scene.load * CAPACITY)) as u64;
    let mut next = start;
    loop {
        // Evenly spread with a jitter, 1 on average.
        next += Duration::from_nanos(random.borrow_mut().u64(..=2 * gap));
        if next >= end {
            return Ok(());
        }
        sleep_until(next).await;
        let second = start.elapsed().as_secs() as usize;
        let halved = (scene.halved.0..scene.halved.1).contains(&second);
        server.slowness.store(if halved { 2 } else { 1 }, Relaxed);
        let (server, random, seen) = (server.clone(), random.clone(), seen.clone());
        tokio::task::spawn_local(async move {
            if let Some(took) = call(&server, &random).await {
                let mut seen = seen.borrow_mut();
                let second = start.elapsed().as_secs() as usize;
                if let Some(good) = seen.good.get_mut(second) {
                    *good += 1;
                    seen.took[second].push(took.as_micros() as u32);
                }
            }
        });
    }
}

/// Tries until it is answered in time, and says how long that answer took.
async fn call(server: &Server, random: &RefCell<Rng>) -> Option<Duration> {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            let backoff = random.borrow_mut().u64(BACKOFF_MILLIS);
            sleep(Duration::from_millis(backoff)).await;
        }
        let (begun, service) = (Instant::now(), random.borrow_mut().u64(SERVICE_MILLIS));
        let context = Context::new().with_timeout(PATIENCE);
        let work = server.endpoint.invoke(context, Duration::from_millis(service));
        // A task of its own: the work goes on when the caller has given up.
        let work = tokio::task::spawn_local(work);
        if let Ok(Ok(Ok(()))) = timeout(PATIENCE, work).await {
            return Some(begun.elapsed());
        }
    }
    None
}
