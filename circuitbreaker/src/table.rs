//! The breakers of a layer, each under its key.

use crate::{
    Forced, Open,
    breaker::{Breaker, Ended, Moved, Ticket},
    config::CircuitBreaker,
    event::{Event, Feed},
};
use purlin_endpoint::{Context, Keyed, Method};
use std::{
    fmt::Display,
    hash::Hash,
    iter, ptr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// What all breakers of a layer have in common.
#[derive(Debug, Default)]
pub(crate) struct Common {
    /// How new ones begin.
    pub(crate) template: Mutex<Template>,
    pub(crate) feed: Feed,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Template {
    pub(crate) config: CircuitBreaker,
    pub(crate) forced: Option<Forced>,
}

impl Common {
    pub(crate) fn template(&self) -> MutexGuard<'_, Template> {
        self.template.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn entry(self: &Arc<Self>, key: &impl Display) -> Arc<Entry> {
        let Template { config, forced } = *self.template();
        Arc::new(Entry {
            breaker: Breaker::new(config, forced, Instant::now()),
            refused: AtomicU64::new(0),
            key: key.to_string().into(),
            common: self.clone(),
        })
    }
}

/// A breaker under its key.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) breaker: Breaker,
    pub(crate) refused: AtomicU64,
    pub(crate) key: Arc<str>,
    common: Arc<Common>,
}

impl Entry {
    #[inline]
    pub(crate) fn admit(&self) -> Result<Ticket, Open> {
        match self.breaker.pass() {
            Some(ticket) => Ok(ticket),
            None => self.ask(),
        }
    }

    fn ask(&self) -> Result<Ticket, Open> {
        // The clock is read here, as what waited further out may have started long ago.
        let (asked, moved) = self.breaker.ask(Instant::now(), fastrand::f64);
        self.tell(moved);
        asked.map_err(|retry_after| self.refuse(retry_after))
    }

    fn refuse(&self, retry_after: Duration) -> Open {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.common.feed.tell(|| Event::Refused { key: self.key.clone(), retry_after });
        Open { retry_after }
    }

    #[inline]
    pub(crate) fn finish(&self, ticket: Ticket, ended: Ended) {
        self.tell(self.breaker.finish(ticket, ended, fastrand::f64));
    }

    pub(crate) fn force(&self, forced: Option<Forced>) {
        self.tell(self.breaker.force(forced));
    }

    #[inline]
    fn tell(&self, moved: Option<Moved>) {
        if let Some(Moved { to, number }) = moved {
            self.common.feed.tell(|| Event::Moved { key: self.key.clone(), to, number });
        }
    }
}

/// Finds the breaker of a call.
pub(crate) trait Table: Send + Sync {
    fn find(&self, context: &Context) -> Arc<Entry>;

    fn all(&self) -> Vec<Arc<Entry>>;
}

/// How many keys or methods have a breaker of their own.
const MOST: usize = 1024;

/// The name of the breaker that all calls share that have none of their own.
const OTHERS: &str = "*";

/// A breaker for each method.
///
/// Methods are few and never go away, so this is a hash table that only grows: it is read without a
/// lock, by the method's address.
pub(crate) struct ByMethod {
    common: Arc<Common>,
    others: Arc<Entry>,
    lists: Box<[Link; LISTS]>,
    /// How many methods are known. Whoever adds one holds the lock.
    known: Mutex<usize>,
}

const LISTS: usize = 64;

type Link = OnceLock<Box<Node>>;

struct Node {
    method: &'static Method,
    entry: Arc<Entry>,
    next: Link,
}

impl ByMethod {
    pub(crate) fn new(common: Arc<Common>) -> Self {
        Self {
            others: common.entry(&OTHERS),
            common,
            lists: Box::new([const { OnceLock::new() }; LISTS]),
            known: Mutex::new(0),
        }
    }

    fn nodes(&self, list: usize) -> impl Iterator<Item = &Node> {
        iter::successors(self.lists[list].get(), |node| node.next.get()).map(|node| &**node)
    }

    /// The list that a method is in.
    #[inline]
    fn list(method: &'static Method) -> usize {
        let address = ptr::from_ref(method).addr() as u64;
        // Fibonacci hashing: the upper bits are those that all lower ones have gone into.
        (address.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58) as usize
    }

    #[cold]
    fn add(&self, method: &'static Method) -> Arc<Entry> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let list = Self::list(method);
        if let Some(node) = self.nodes(list).find(|node| ptr::eq(node.method, method)) {
            return node.entry.clone();
        }
        if *known == MOST {
            return self.others.clone();
        }
        *known += 1;
        // The same method may be declared twice, and lie at two addresses.
        let same = (0..LISTS).flat_map(|list| self.nodes(list)).find(|node| node.method == method);
        let entry = same.map_or_else(|| self.common.entry(method), |node| node.entry.clone());
        let last = self.nodes(list).last().map_or(&self.lists[list], |node| &node.next);
        let node = Node { method, entry: entry.clone(), next: Link::new() };
        // Nobody else can have set it, as the lock is held.
        let _ = last.set(Box::new(node));
        entry
    }
}

impl Table for ByMethod {
    #[inline]
    fn find(&self, context: &Context) -> Arc<Entry> {
        let Some(method) = context.method() else { return self.others.clone() };
        match self.nodes(Self::list(method)).find(|node| ptr::eq(node.method, method)) {
            Some(node) => node.entry.clone(),
            None => self.add(method),
        }
    }

    fn all(&self) -> Vec<Arc<Entry>> {
        let _known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = vec![self.others.clone()];
        for node in (0..LISTS).flat_map(|list| self.nodes(list)) {
            if !all.iter().any(|known| Arc::ptr_eq(known, &node.entry)) {
                all.push(node.entry.clone());
            }
        }
        all
    }
}

/// A breaker for each key that a function finds in the context.
pub(crate) struct ByKey<K, F> {
    common: Arc<Common>,
    others: Arc<Entry>,
    entries: Keyed<K, Arc<Entry>>,
    key: F,
}

impl<K: Hash + Eq, F> ByKey<K, F> {
    pub(crate) fn new(common: Arc<Common>, key: F) -> Self {
        Self { others: common.entry(&OTHERS), common, entries: Keyed::new(MOST), key }
    }
}

impl<K, F> Table for ByKey<K, F>
where
    K: Hash + Eq + Clone + Display + Send,
    F: Fn(&Context) -> Option<K> + Send + Sync,
{
    fn find(&self, context: &Context) -> Arc<Entry> {
        let Some(key) = (self.key)(context) else { return self.others.clone() };
        self.entries
            .with(
                &key,
                || self.common.entry(&key),
                // Nobody can begin to use it meanwhile: it is found under the lock that is held.
                |entry| Arc::strong_count(entry) == 1 && entry.breaker.is_idle(Instant::now()),
                Arc::clone,
            )
            .unwrap_or_else(|| self.others.clone())
    }

    fn all(&self) -> Vec<Arc<Entry>> {
        let mut all = vec![self.others.clone()];
        self.entries.for_each(|_, entry| all.push(entry.clone()));
        all
    }
}
