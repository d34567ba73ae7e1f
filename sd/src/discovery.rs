use crate::{EmptyAnswer, Instance, keeper::Keeper};
use purlin_endpoint::{Backoff, Error, Invalid};
use std::{convert::Infallible, fmt, future::Future, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// A registry, as one who asks it sees it: what each backend implements.
pub trait Source: Send + 'static {
    /// Follows the registry, and tells of each set of instances that it finds, the first at once.
    ///
    /// It goes on for as long as the registry answers. When it returns, it is called again after a
    /// pause; what it found last is served meanwhile. It keeps no promise about the order of
    /// instances, and may tell of the same set twice. Dropped at any point, it must leave nothing.
    ///
    /// # Errors
    ///
    /// Why it could not go on.
    fn follow(&mut self, found: &Found) -> impl Future<Output = Result<Infallible, Error>> + Send;
}

/// Where a [`Source`] tells what it has found.
#[derive(Debug)]
pub struct Found(watch::Sender<Option<Set>>);

/// A set, and why it may not be the whole one.
type Set = (Vec<Instance>, Option<Arc<Error>>);

impl Found {
    /// This is the whole set, now.
    pub fn set(&self, instances: Vec<Instance>) {
        self.0.send_replace(Some((instances, None)));
    }

    /// This is what could be understood of the set; the error says what was left out.
    pub fn set_partly(&self, instances: Vec<Instance>, left_out: Error) {
        self.0.send_replace(Some((instances, Some(Arc::new(left_out)))));
    }
}

/// How a source is followed.
///
/// The last good set is served while the registry is away. An empty answer right after a full one
/// is held back for 30 s, in which those who lost their registration come back. The registry is
/// asked again after 1 s, then up to 1.6 s, each ± 20 %: no more than about once a second, and
/// never so seldom that one that is back goes unnoticed for two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Discovery {
    backoff: Backoff,
    empty: EmptyAnswer,
    expiry: Option<Duration>,
}

impl Default for Discovery {
    fn default() -> Self {
        Self {
            backoff: Backoff::new(Duration::from_secs(1)).longest(Duration::from_millis(1600)),
            empty: EmptyAnswer::Hold(Duration::from_secs(30)),
            expiry: None,
        }
    }
}

impl Discovery {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long to wait before a source that failed is followed again.
    #[must_use]
    pub fn backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// What an empty answer means that follows a full one.
    #[must_use]
    pub fn empty(self, empty: EmptyAnswer) -> Self {
        Self { empty, ..self }
    }

    /// Drops the last good set when the source has failed for so long. It is kept for ever unless
    /// this is set: an instance that may be gone is better than none.
    #[must_use]
    pub fn expiry(self, expiry: Duration) -> Self {
        Self { expiry: Some(expiry), ..self }
    }

    /// Starts to follow a source. It must be called within a tokio runtime, and never fails: a
    /// registry that is away is asked again.
    ///
    /// # Errors
    ///
    /// If the backoff makes no sense.
    pub fn start(self, source: impl Source) -> Result<Instancer, Invalid> {
        self.backoff.check()?;
        let (served, snapshots) = watch::channel(Snapshot::default());
        let task = tokio::spawn(self.supervise(source, served));
        Ok(Instancer { snapshots, task: Some(Arc::new(Owned::new(task))) })
    }

    async fn supervise(self, mut source: impl Source, served: watch::Sender<Snapshot>) {
        let (raw, mut seen) = watch::channel(None);
        let found = Found(raw);
        let mut keeper = Keeper::new(self.empty, self.expiry);
        let mut failures = 0;
        loop {
            let failed = {
                let mut follow = std::pin::pin!(source.follow(&found));
                loop {
                    tokio::select! {
                        biased;
                        Ok(()) = seen.changed() => {
                            hear(&mut seen, &mut keeper);
                            failures = 0;
                        }
                        Err(failed) = &mut follow => break failed,
                        // What the source has found just now comes first: it may end a doubt.
                        () = due(&keeper) => if !unheard(&seen) {
                            keeper.pass(Instant::now());
                        },
                    }
                    publish(&served, &keeper);
                }
            };
            // What it found right before it failed stands, and must not be heard of any later.
            if unheard(&seen) {
                hear(&mut seen, &mut keeper);
                failures = 0;
            }
            let now = Instant::now();
            keeper.failed(failed, now);
            publish(&served, &keeper);
            let again = now + self.backoff.wait(failures, fastrand::f64());
            failures = failures.saturating_add(1);
            while Instant::now() < again {
                tokio::select! {
                    () = sleep_until(again) => {}
                    () = due(&keeper) => {
                        keeper.pass(Instant::now());
                        publish(&served, &keeper);
                    }
                }
            }
        }
    }
}

fn unheard(seen: &watch::Receiver<Option<Set>>) -> bool {
    seen.has_changed().is_ok_and(|changed| changed)
}

fn hear(seen: &mut watch::Receiver<Option<Set>>, keeper: &mut Keeper) {
    if let Some((set, left_out)) = seen.borrow_and_update().clone() {
        keeper.found(set, left_out, Instant::now());
    }
}

async fn due(keeper: &Keeper) {
    match keeper.due() {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn publish(served: &watch::Sender<Snapshot>, keeper: &Keeper) {
    served.send_if_modified(|known| {
        let changed = !known.same(keeper.served());
        if changed {
            known.clone_from(keeper.served());
        }
        changed
    });
}

/// The latest known set of instances.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) instances: Arc<[Arc<Instance>]>,
    pub(crate) known: bool,
    pub(crate) error: Option<Arc<Error>>,
}

impl Snapshot {
    /// The instances, sorted by id.
    pub fn instances(&self) -> &Arc<[Arc<Instance>]> {
        &self.instances
    }

    /// Whether the registry has answered at all: if not, there being no instances says nothing.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Why the registry can't be followed just now, while what it said last is served; or what of
    /// its answer could not be understood, while the rest is served.
    pub fn error(&self) -> Option<&Arc<Error>> {
        self.error.as_ref()
    }

    fn same(&self, other: &Self) -> bool {
        let error = |snapshot: &Self| snapshot.error.as_ref().map(Arc::as_ptr);
        Arc::ptr_eq(&self.instances, &other.instances)
            && self.known == other.known
            && error(self) == error(other)
    }
}

/// A watch of the latest known set of a service's instances.
///
/// Clones watch the same source, each at its own pace: who is slow misses intermediate sets and
/// holds up nobody. The source is let go with the last clone.
pub struct Instancer {
    snapshots: watch::Receiver<Snapshot>,
    /// Nothing follows a fixed list.
    task: Option<Arc<Owned>>,
}

/// A task that ends with its owner.
pub(crate) struct Owned(JoinHandle<()>);

impl Owned {
    pub(crate) fn new(task: JoinHandle<()>) -> Self {
        Self(task)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Instancer {
    /// Always these.
    pub fn fixed(instances: impl IntoIterator<Item = Instance>) -> Self {
        let mut keeper = Keeper::new(EmptyAnswer::Believe, None);
        keeper.found(instances.into_iter().collect(), None, Instant::now());
        let (_, mut snapshots) = watch::channel(keeper.served().clone());
        snapshots.mark_changed();
        Self { snapshots, task: None }
    }

    /// What is known now.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshots.borrow().clone()
    }

    /// Waits until what is known is not what this clone has seen last, and returns it.
    ///
    /// A clone has seen nothing at first. The set of a fixed list is seen once, after which this
    /// waits for ever.
    pub async fn changed(&mut self) -> Snapshot {
        if self.snapshots.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.snapshots.borrow_and_update().clone()
    }

    /// Waits until the registry has answered for the first time.
    pub async fn known(&mut self) -> Snapshot {
        match self.snapshots.wait_for(Snapshot::is_known).await {
            Ok(snapshot) => snapshot.clone(),
            Err(_) => std::future::pending().await,
        }
    }
}

impl Clone for Instancer {
    fn clone(&self) -> Self {
        let mut snapshots = self.snapshots.clone();
        snapshots.mark_changed();
        Self { snapshots, task: self.task.clone() }
    }
}

impl fmt::Debug for Instancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instancer")
            .field("snapshot", &*self.snapshots.borrow())
            .field("fixed", &self.task.is_none())
            .finish()
    }
}
