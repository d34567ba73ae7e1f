use crate::{Registry, Snapshot};
use purlin_endpoint::{Backoff, BoxError, Inspect, quote_json};
use std::{
    fmt,
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout, timeout_at};

/// Where metrics are sent to.
///
/// A back end is given all that was counted since the start. One whose server adds up keeps the
/// last snapshot that it has sent, and sends what came [since](Snapshot::since) then.
pub trait Backend: Send + 'static {
    /// Sends a snapshot. It may be dropped at any point: the time for it is limited.
    ///
    /// # Errors
    ///
    /// If the server has not taken it, or not said so. It is tried again with a later snapshot.
    fn push(&mut self, snapshot: &Snapshot) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// Sends the metrics of a registry to a server, time and again.
///
/// There is no task of its own: whoever polls [`run`](Self::run) owns it. Nothing piles up while a
/// server is away, since each push is of the registry as it is by then. Its clones share one back
/// end.
///
/// ```
/// use purlin_metrics::{Backend, Push, Registry, Snapshot};
///
/// struct Print;
///
/// impl Backend for Print {
///     async fn push(&mut self, snapshot: &Snapshot) -> Result<(), purlin_endpoint::BoxError> {
///         println!("{}", snapshot.to_expvar());
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let push = Push::new(&Registry::new(), Print);
/// push.run(async { /* until the process stops */ }).await;
/// assert_eq!(push.handle().pushed(), 1, "the last one");
/// # }
/// ```
///
/// With `purlin-run` it is an actor, and a flush for what is counted while servers drain:
/// `.actor("push", |stop| async move { push.run(stop.requested()).await })` and
/// `.flush("push", async move { again.flush().await })`.
pub struct Push<B>(Arc<Pushing<B>>);

struct Pushing<B> {
    registry: Registry,
    options: Options,
    /// Away while somebody pushes.
    backend: Mutex<Option<B>>,
    state: Arc<State>,
}

#[derive(Clone, Copy)]
struct Options {
    interval: Duration,
    patience: Duration,
    backoff: Backoff,
}

#[derive(Default)]
struct State {
    pushed: AtomicU64,
    failed: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl<B: Backend> Push<B> {
    /// Sends this registry there every 10 s.
    pub fn new(registry: &Registry, backend: B) -> Self {
        Self(Arc::new(Pushing {
            registry: registry.clone(),
            options: Options {
                interval: Duration::from_secs(10),
                patience: Duration::from_secs(5),
                backoff: Backoff::default(),
            },
            backend: Mutex::new(Some(backend)),
            state: Arc::default(),
        }))
    }

    /// Sends so often. Default: 10 s.
    #[must_use]
    pub fn interval(self, interval: Duration) -> Self {
        // Without a pause nobody else would run.
        let interval = interval.max(Duration::from_millis(1));
        self.with(|options| options.interval = interval)
    }

    /// Gives up a push after so long. Default: 5 s.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        self.with(|options| options.patience = patience)
    }

    /// After a failure, tries again after such waits, but not later than the next push is due.
    #[must_use]
    pub fn backoff(self, backoff: Backoff) -> Self {
        self.with(|options| options.backoff = backoff)
    }

    fn with(self, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = self.0.options;
        change(&mut options);
        Self(Arc::new(Pushing {
            registry: self.0.registry.clone(),
            options,
            backend: Mutex::new(self.0.slot().take()),
            state: self.0.state.clone(),
        }))
    }

    /// Pushes until it is told to stop, and then once more: it ends at most twice its
    /// [`patience`](Self::patience) later.
    ///
    /// Only one clone can do so at a time; for another this ends at once.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let Some(mut taken) = Taken::take(&self.0) else { return };
        let mut stop = pin!(stop);
        let Options { interval, backoff, .. } = self.0.options;
        let (mut due, mut failures) = (Instant::now() + interval, 0);
        loop {
            let retry = match failures {
                0 => due,
                n => due.min(Instant::now() + backoff.wait(n - 1, fastrand::f64())),
            };
            if timeout_at(retry, &mut stop).await.is_ok() {
                break;
            }
            failures = if taken.push().await.is_ok() { 0 } else { failures + 1 };
            if due <= Instant::now() {
                // What was missed while a push took long is not caught up with.
                due = Instant::now() + interval;
            }
        }
        let _ = taken.push().await;
    }

    /// Pushes once.
    ///
    /// # Errors
    ///
    /// If that fails, or another clone is still [running](Self::run).
    pub async fn flush(&self) -> Result<(), BoxError> {
        let Some(mut taken) = Taken::take(&self.0) else { return Err("another push runs".into()) };
        taken.push().await
    }
}

impl<B> Push<B> {
    /// Tells how it goes.
    pub fn handle(&self) -> PushHandle {
        PushHandle(self.0.state.clone())
    }
}

impl<B> Pushing<B> {
    fn slot(&self) -> MutexGuard<'_, Option<B>> {
        self.backend.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A back end that is given back even if the push is dropped.
struct Taken<'a, B> {
    pushing: &'a Pushing<B>,
    backend: Option<B>,
}

impl<'a, B: Backend> Taken<'a, B> {
    fn take(pushing: &'a Pushing<B>) -> Option<Self> {
        let backend = Some(pushing.slot().take()?);
        Some(Self { pushing, backend })
    }

    async fn push(&mut self) -> Result<(), BoxError> {
        let Some(backend) = &mut self.backend else { return Ok(()) };
        let (state, patience) = (&self.pushing.state, self.pushing.options.patience);
        let snapshot = self.pushing.registry.snapshot();
        let outcome = match timeout(patience, backend.push(&snapshot)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("not done within {patience:?}").into()),
        };
        let count = if outcome.is_ok() { &state.pushed } else { &state.failed };
        count.fetch_add(1, Relaxed);
        *state.trouble() = outcome.as_ref().err().map(ToString::to_string);
        outcome
    }
}

impl<B> Drop for Taken<'_, B> {
    fn drop(&mut self) {
        *self.pushing.slot() = self.backend.take();
    }
}

impl<B> Clone for Push<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B> fmt::Debug for Push<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push").field("interval", &self.0.options.interval).finish_non_exhaustive()
    }
}

/// Tells how a [`Push`] goes.
///
/// Its [snapshot](Inspect::snapshot) is `{"pushed": 7, "failed": 1, "trouble": null}`, with the
/// text of the last error if the last push failed.
#[derive(Clone)]
pub struct PushHandle(Arc<State>);

impl State {
    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PushHandle {
    /// How many pushes the server has taken.
    pub fn pushed(&self) -> u64 {
        self.0.pushed.load(Relaxed)
    }

    /// How many pushes failed.
    pub fn failed(&self) -> u64 {
        self.0.failed.load(Relaxed)
    }

    /// Why the last push failed, if it did.
    pub fn trouble(&self) -> Option<String> {
        self.0.trouble().clone()
    }
}

impl Inspect for PushHandle {
    fn name(&self) -> String {
        "metrics push".into()
    }

    fn snapshot(&self) -> String {
        let (pushed, failed) = (self.pushed(), self.failed());
        let mut out = format!(r#"{{"pushed":{pushed},"failed":{failed},"trouble":"#);
        match self.trouble() {
            Some(trouble) => quote_json(&mut out, &trouble),
            None => out.push_str("null"),
        }
        out.push('}');
        out
    }
}

impl fmt::Debug for PushHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PushHandle").finish()
    }
}

/// What came since the last time, for servers that add up.
#[derive(Debug, Default)]
pub struct Deltas(Option<Snapshot>);

impl Deltas {
    /// From nothing on: the first delta is all that was ever counted.
    pub fn new() -> Self {
        Self::default()
    }

    /// What this snapshot has that the one before had not. It is the one before from then on.
    pub fn take(&mut self, snapshot: &Snapshot) -> Snapshot {
        let delta = match &self.0 {
            Some(before) => snapshot.since(before),
            None => snapshot.clone(),
        };
        self.0 = Some(snapshot.clone());
        delta
    }
}
