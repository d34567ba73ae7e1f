use crate::{Instance, Instancer, Snapshot, discovery::Owned};
use arc_swap::ArcSwap;
use purlin_endpoint::{Backoff, Error, catch_panic};
use std::{collections::HashMap, fmt, ops::Deref, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// What calls one instance: made by a factory, once for as long as the instance is there.
///
/// Make of it whatever all methods share, such as a connection with an endpoint for each method.
#[derive(Debug)]
pub struct Member<E> {
    key: u64,
    instance: Arc<Instance>,
    endpoint: Arc<E>,
}

impl<E> Member<E> {
    /// What tells it from all members that these endpoints ever had. It stays when the registry
    /// says something new of the instance, but its address.
    pub fn key(&self) -> u64 {
        self.key
    }

    /// What is known of the instance.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// What calls it. Who holds this can go on calling an instance that has been removed.
    pub fn endpoint(&self) -> &Arc<E> {
        &self.endpoint
    }
}

impl<E> Clone for Member<E> {
    fn clone(&self) -> Self {
        let (instance, endpoint) = (self.instance.clone(), self.endpoint.clone());
        Self { key: self.key, instance, endpoint }
    }
}

/// The members at one time, in the order of their instances.
#[derive(Debug)]
pub struct Members<E> {
    list: Vec<Member<E>>,
    failed: Vec<(Arc<Instance>, Error)>,
    snapshot: Snapshot,
}

impl<E> Members<E> {
    /// What they were made of.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The instances for which the factory failed, and why; it is tried again.
    pub fn failed(&self) -> &[(Arc<Instance>, Error)] {
        &self.failed
    }
}

impl<E> Deref for Members<E> {
    type Target = [Member<E>];

    fn deref(&self) -> &[Member<E>] {
        &self.list
    }
}

/// The endpoints of all instances of a service, kept up to date.
///
/// A member lives as long as its instance is known at its address; those that stay are never made
/// anew. One that is removed is not cut off: it goes when the last call that holds it has ended.
/// Where the factory fails it is tried again, after 1 s, then longer up to 30 s.
///
/// Clones share the members, and the task that keeps them, which ends with the last clone.
pub struct Endpoints<E> {
    current: Arc<ArcSwap<Members<E>>>,
    changes: watch::Receiver<()>,
    _task: Arc<Owned>,
}

impl<E: Send + Sync + 'static> Endpoints<E> {
    /// Makes an endpoint for each instance. It must be called within a tokio runtime.
    ///
    /// The factory should not block: connections are made when they are first used.
    pub fn new<F>(instancer: Instancer, factory: F) -> Self
    where
        F: FnMut(&Instance) -> Result<E, Error> + Send + 'static,
    {
        let mut cache = Cache { factory, next: 0, known: HashMap::new(), failing: None };
        // Instances that are known already have members when this returns.
        let first = cache.members(instancer.snapshot(), Instant::now());
        let current = Arc::new(ArcSwap::from_pointee(first));
        let (told, changes) = watch::channel(());
        let task = tokio::spawn(cache.keep(instancer, current.clone(), told));
        Self { current, changes, _task: Arc::new(Owned::new(task)) }
    }
}

impl<E> Endpoints<E> {
    /// The members now: one atomic load.
    pub fn members(&self) -> Arc<Members<E>> {
        self.current.load_full()
    }

    /// Waits until the members have changed since this clone was made or waited last.
    pub async fn changed(&mut self) -> Arc<Members<E>> {
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.members()
    }
}

impl<E> Clone for Endpoints<E> {
    fn clone(&self) -> Self {
        Self {
            current: self.current.clone(),
            changes: self.changes.clone(),
            _task: self._task.clone(),
        }
    }
}

impl<E> fmt::Debug for Endpoints<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.members();
        let addresses = members.iter().map(|member| &member.instance.address);
        f.debug_list().entries(addresses).finish()
    }
}

/// Makes members of instances, and remembers those that it has made.
struct Cache<E, F> {
    factory: F,
    next: u64,
    known: HashMap<(String, String), (u64, Arc<E>)>,
    /// How often the factory has failed in a row, and when it is tried again.
    failing: Option<(u32, Instant)>,
}

impl<E, F> Cache<E, F>
where
    E: Send + Sync + 'static,
    F: FnMut(&Instance) -> Result<E, Error> + Send + 'static,
{
    async fn keep(
        mut self,
        mut instancer: Instancer,
        current: Arc<ArcSwap<Members<E>>>,
        told: watch::Sender<()>,
    ) {
        loop {
            let again = self.failing.map(|(_, again)| again);
            let snapshot = tokio::select! {
                snapshot = instancer.changed() => snapshot,
                () = at(again) => instancer.snapshot(),
            };
            current.store(Arc::new(self.members(snapshot, Instant::now())));
            told.send_replace(());
        }
    }

    fn members(&mut self, snapshot: Snapshot, now: Instant) -> Members<E> {
        let mut before = std::mem::take(&mut self.known);
        let mut list = Vec::with_capacity(snapshot.instances().len());
        let mut failed = Vec::new();
        for instance in snapshot.instances().iter() {
            let place = (instance.id.clone(), instance.address.clone());
            let made = before.remove(&place).map_or_else(|| self.make(instance), Ok);
            match made {
                Ok((key, endpoint)) => {
                    self.known.insert(place, (key, endpoint.clone()));
                    list.push(Member { key, instance: instance.clone(), endpoint });
                }
                Err(error) => failed.push((instance.clone(), error)),
            }
        }
        self.failing = (!failed.is_empty()).then(|| {
            let failures = self.failing.map_or(0, |(failures, _)| failures);
            let backoff = Backoff::new(Duration::from_secs(1)).longest(Duration::from_secs(30));
            (failures.saturating_add(1), now + backoff.wait(failures, fastrand::f64()))
        });
        Members { list, failed, snapshot }
    }

    /// A factory that panics has failed for this instance and no other.
    fn make(&mut self, instance: &Instance) -> Result<(u64, Arc<E>), Error> {
        let endpoint = catch_panic(|| (self.factory)(instance)).map_err(Error::internal)??;
        self.next += 1;
        Ok((self.next, Arc::new(endpoint)))
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
