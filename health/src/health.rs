use crate::{Check, Checked, Gate, HealthService, Report, check::Entry};
use futures_util::future::join_all;
use std::{
    borrow::Cow,
    fmt,
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// Whether a process is ready for calls, and why not. Clones share one state.
#[derive(Clone)]
pub struct Health(Arc<Shared>);

struct Shared {
    serving: AtomicBool,
    entries: Mutex<Vec<Arc<Entry>>>,
    ready: watch::Sender<bool>,
}

impl Health {
    /// A process that serves and has nothing to check.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            serving: AtomicBool::new(true),
            entries: Mutex::default(),
            ready: watch::Sender::new(true),
        }))
    }

    /// Adds a check that passes when the future of this function returns `Ok`.
    ///
    /// It is asked when [`report`](Self::report) is, and has failed until then.
    pub fn check<F, Fut, E>(&self, name: impl Into<Cow<'static, str>>, probe: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.add(Check::new(name, probe));
    }

    /// Adds a check with settings of its own, in the place of an earlier one of its name.
    pub fn add(&self, check: Check) {
        self.put(Arc::new(Entry::check(check)));
    }

    /// Adds a gate, closed until it is opened, in the place of an earlier one of its name.
    pub fn gate(&self, name: impl Into<Cow<'static, str>>) -> Gate {
        let entry = Arc::new(Entry::gate(name.into()));
        self.put(entry.clone());
        Gate { entry, health: self.clone() }
    }

    /// Says whether calls are wanted at all. A stop begins with `false`.
    pub fn set_serving(&self, serving: bool) {
        self.0.serving.store(serving, Ordering::SeqCst);
        self.tell();
    }

    /// Asks all checks at once, those whose last answer is still good excepted.
    pub async fn report(&self) -> Report {
        let entries = self.entries().clone();
        join_all(entries.iter().map(|entry| entry.ask())).await;
        self.tell();
        let mut results: Vec<_> = entries.iter().map(|entry| entry.result()).collect();
        if !self.0.serving.load(Ordering::SeqCst) {
            results.insert(0, Checked::not_serving());
        }
        Report { results }
    }

    /// Whether the process was ready when that was last known: checks count by their last answer.
    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// Follows [`is_ready`](Self::is_ready), as a gRPC health service does for its watchers.
    ///
    /// Gates and the end of serving show at once, checks when they are asked: by `/readyz`, or by
    /// [`ask_every`](Self::ask_every).
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.ready.subscribe()
    }

    /// Asks the checks now and then again after each such period, until the other future ends.
    ///
    /// This is an actor for a service that is watched and never asked.
    pub async fn ask_every(self, period: Duration, until: impl Future<Output = ()>) {
        let mut until = pin!(until);
        loop {
            // The pause is where it ends; how long the checks take is bounded by their limits.
            self.report().await;
            if timeout(period, until.as_mut()).await.is_ok() {
                return;
            }
        }
    }

    /// Answers `/livez` and `/readyz` over HTTP.
    pub fn service(&self) -> HealthService {
        HealthService::new(self.clone())
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Arc<Entry>>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, entry: Arc<Entry>) {
        let mut entries = self.entries();
        match entries.iter_mut().find(|known| known.name == entry.name) {
            Some(known) => *known = entry,
            None => entries.push(entry),
        }
        drop(entries);
        self.tell();
    }

    /// Tells subscribers if the process has become ready, or is no longer.
    pub(crate) fn tell(&self) {
        // Inside, so that of two that tell at once the later one tells the later state.
        self.0.ready.send_if_modified(|told| {
            let serving = self.0.serving.load(Ordering::SeqCst);
            let ready = serving && self.entries().iter().all(|entry| entry.passes());
            std::mem::replace(told, ready) != ready
        });
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}
