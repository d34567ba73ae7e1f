//! What is fetched from elsewhere and kept fresh by a task.

use arc_swap::ArcSwapOption;
use futures_util::{FutureExt as _, future::BoxFuture};
use purlin_endpoint::{Backoff, Error};
use serde_json::{Value, json};
use std::{
    future::{Future, pending},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout_at},
};

/// Fetches a value.
pub(crate) trait Fetch: Send + 'static {
    type Value: Send + Sync + 'static;

    fn fetch(&mut self) -> impl Future<Output = Result<Fetched<Self::Value>, Error>> + Send;

    /// What was fetched before is gone: the same again is news.
    fn forget(&mut self) {}
}

/// A value, or that it has not changed.
pub(crate) struct Fetched<V> {
    pub(crate) value: Option<V>,
    /// After how long it is fetched again.
    pub(crate) fresh: Duration,
    /// After how long it is no good any more, if it could not be fetched again until then.
    pub(crate) good: Duration,
}

/// How calls ask for what they miss.
#[derive(Clone, Copy)]
pub(crate) struct Asking {
    /// How long it is at least from one fetch for which calls have asked to the next.
    pub(crate) interval: Duration,
    /// How long a call waits at most.
    pub(crate) patience: Duration,
}

/// How many calls may wait at once for what they miss: there can be many who only pretend.
const WAITING: usize = 1024;

/// The first wait after a failure, and the longest.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1)).longest(Duration::from_secs(30));

/// A value that is kept fresh. When it is dropped, it is fetched no more.
pub(crate) struct Fresh<V> {
    shared: Arc<Shared<V>>,
    asking: Asking,
    task: JoinHandle<()>,
}

struct Shared<V> {
    current: Arc<ArcSwapOption<V>>,
    asked: Notify,
    /// How many fetches have begun, and which of them is wanted by calls.
    begun: AtomicU64,
    wanted: AtomicU64,
    waiting: AtomicUsize,
    last: watch::Sender<Last>,
    /// For who looks on; calls don't.
    progress: Mutex<Progress>,
}

/// How the fetching goes.
#[derive(Default)]
struct Progress {
    /// When it succeeded last.
    fetched: Option<Instant>,
    /// How often it has failed since then, and why it did the last time.
    failures: u32,
    trouble: Option<String>,
}

/// What is known of the last fetch that is over.
#[derive(Clone, Copy, Default)]
struct Last {
    /// Which fetch it was, from 1.
    fetch: u64,
    /// How many values there have been.
    values: u64,
}

impl<V: Send + Sync + 'static> Fresh<V> {
    /// Starts to fetch, in a task. Failures are told, and do not end it.
    pub(crate) fn start(
        fetch: impl Fetch<Value = V>,
        asking: Asking,
        told: impl Fn(&Error) + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            current: Arc::default(),
            asked: Notify::new(),
            begun: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            last: watch::Sender::new(Last::default()),
            progress: Mutex::default(),
        });
        let task = tokio::spawn(shared.clone().run(fetch, asking.interval, told));
        Self { shared, asking, task }
    }

    pub(crate) fn current(&self) -> &Arc<ArcSwapOption<V>> {
        &self.shared.current
    }

    /// How the fetching goes, for an admin page.
    pub(crate) fn snapshot(&self) -> Value {
        let Progress { fetched, failures, trouble } = &*self.shared.progress();
        let age = fetched.map(|at| at.elapsed().as_secs());
        json!({ "age_s": age, "failures": failures, "trouble": trouble })
    }

    /// Waits until there is another value, or a fetch that began after this; and no longer than until
    /// then, or than calls have patience.
    pub(crate) fn refreshed(&self, until: Option<Instant>) -> BoxFuture<'static, ()> {
        let patience = Instant::now() + self.asking.patience;
        let until = until.map_or(patience, |until| until.min(patience));
        let Some(waiting) = Waiting::enter(&self.shared) else {
            return std::future::ready(()).boxed();
        };
        let mut last = self.shared.last.subscribe();
        let known = last.borrow_and_update().values;
        let waited = async move {
            // One that is on its way may have been answered before what is missed was there.
            let wanted = waiting.0.begun.load(SeqCst) + 1;
            waiting.0.wanted.fetch_max(wanted, SeqCst);
            let done = |last: &Last| last.values != known || last.fetch >= wanted;
            waiting.0.asked.notify_one();
            // It ends with the time that there is, or with the task.
            _ = timeout_at(until, last.wait_for(done)).await;
        };
        waited.boxed()
    }
}

impl<V> Drop for Fresh<V> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A call that waits, until it is dropped.
struct Waiting<V>(Arc<Shared<V>>);

impl<V> Waiting<V> {
    fn enter(shared: &Arc<Shared<V>>) -> Option<Self> {
        let waiting = Self(shared.clone());
        (shared.waiting.fetch_add(1, SeqCst) < WAITING).then_some(waiting)
    }
}

impl<V> Drop for Waiting<V> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}

impl<V> Shared<V> {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        // It is written at once, so a panic leaves nothing half-done.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(
        self: Arc<Self>,
        mut fetch: impl Fetch<Value = V>,
        interval: Duration,
        told: impl Fn(&Error) + Send + 'static,
    ) {
        let (mut next, mut ends, mut failures) = (Instant::now(), None, 0);
        let mut asked_at: Option<Instant> = None;
        loop {
            tokio::select! {
                () = sleep_until(next) => {}
                () = reached(ends) => {
                    self.current.store(None);
                    fetch.forget();
                    ends = None;
                    continue;
                }
                () = self.asked.notified() => {
                    // What was missed may have come meanwhile.
                    if self.wanted.load(SeqCst) <= self.last.borrow().fetch {
                        continue;
                    }
                    if let Some(last) = asked_at {
                        sleep_until(last + interval).await;
                    }
                    asked_at = Some(Instant::now());
                }
            }
            let number = self.begun.fetch_add(1, SeqCst) + 1;
            let outcome = fetch.fetch().await;
            let now = Instant::now();
            let mut changed = 0;
            match outcome {
                Ok(Fetched { value, fresh, good }) => {
                    *self.progress() = Progress { fetched: Some(now), ..Progress::default() };
                    (next, ends, failures) = (now + fresh, now.checked_add(good), 0);
                    if let Some(value) = value {
                        self.current.store(Some(Arc::new(value)));
                        changed = 1;
                        // All who wait look at it, and who still misses something asks again.
                        self.wanted.store(0, SeqCst);
                    }
                }
                Err(why) => {
                    told(&why);
                    next = now + BACKOFF.wait(failures, fastrand::f64());
                    failures = failures.saturating_add(1);
                    let mut progress = self.progress();
                    (progress.failures, progress.trouble) = (failures, Some(format!("{why:#}")));
                }
            }
            self.last.send_modify(|last| {
                *last = Last { fetch: number, values: last.values + changed };
            });
        }
    }
}

/// Waits until then, or for ever.
async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
