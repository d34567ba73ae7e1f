//! The breakers of a layer, each under its key.

use crate::{
    Forced, Open,
    breaker::{Apart, Breaker, Moved, Ticket},
    config::CircuitBreaker,
    event::{Event, Feed},
    machine::Ended,
};
use purlin_endpoint::{Context, Keyed, Method};
use std::{
    cell::Cell,
    fmt::Display,
    hash::Hash,
    iter,
    num::NonZero,
    ptr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// What all breakers of a layer have in common.
#[derive(Debug)]
pub(crate) struct Common {
    /// How new ones begin.
    template: Mutex<Template>,
    pub(crate) feed: Feed,
    /// In how many places calls are counted: a power of two, and some for each processor, as
    /// threads choose theirs blindly.
    places: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Template {
    pub(crate) config: CircuitBreaker,
    pub(crate) forced: Option<Forced>,
}

impl Common {
    pub(crate) fn new(config: CircuitBreaker) -> Arc<Self> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Arc::new(Self {
            template: Mutex::new(Template { config, forced: None }),
            feed: Feed::default(),
            places: (4 * processors).next_power_of_two().min(64),
        })
    }

    pub(crate) fn template(&self) -> MutexGuard<'_, Template> {
        self.template.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn entry(self: &Arc<Self>, key: &impl Display) -> Arc<Entry> {
        let Template { config, forced } = *self.template();
        Arc::new(Entry {
            breaker: Breaker::new(config, forced, self.places, Instant::now()),
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
    pub(crate) fn finish(&self, ticket: Ticket, ended: Ended, place: usize) {
        self.tell(self.breaker.finish(ticket, ended, place, fastrand::f64));
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

/// What holds a breaker for as long as a call runs.
///
/// It is one of several, so that the processors need not write one count of references.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) entry: Arc<Entry>,
    pub(crate) place: usize,
}

/// All that hold one breaker.
#[derive(Debug)]
struct Holds(Box<[Arc<Apart<Hold>>]>);

impl Holds {
    fn new(entry: &Arc<Entry>) -> Self {
        let hold = |place| Arc::new(Apart(Hold { entry: entry.clone(), place }));
        Self((0..entry.common.places).map(hold).collect())
    }

    /// The one for this thread. Threads are told apart by where their own variables lie.
    #[inline]
    fn here(&self) -> Arc<Apart<Hold>> {
        thread_local!(static HERE: Cell<u8> = const { Cell::new(0) });
        let address = HERE.with(|here| ptr::from_ref(here).addr());
        // The number of places is a power of two.
        self.0[spread(address) & (self.0.len() - 1)].clone()
    }

    fn entry(&self) -> &Arc<Entry> {
        &self.0[0].0.entry
    }

    /// Whether no call runs, and nothing is lost if it is forgotten.
    fn is_idle(&self) -> bool {
        self.0.iter().all(|hold| Arc::strong_count(hold) == 1)
            && self.entry().breaker.is_idle(Instant::now())
    }
}

/// Makes a small number of an address by Fibonacci hashing: all of its bits have gone into the upper
/// ones of the product.
#[inline]
fn spread(address: usize) -> usize {
    ((address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize
}

/// Finds the breaker of a call.
pub(crate) trait Table: Send + Sync {
    fn find(&self, context: &Context) -> Arc<Apart<Hold>>;

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
    others: Holds,
    lists: Box<[Link; LISTS]>,
    /// How many methods are known. Whoever adds one holds the lock.
    known: Mutex<usize>,
}

const LISTS: usize = 64;

type Link = OnceLock<Box<Node>>;

struct Node {
    method: &'static Method,
    holds: Holds,
    next: Link,
}

impl ByMethod {
    pub(crate) fn new(common: Arc<Common>) -> Self {
        Self {
            others: Holds::new(&common.entry(&OTHERS)),
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
        spread(ptr::from_ref(method).addr()) & (LISTS - 1)
    }

    #[cold]
    fn add(&self, method: &'static Method) -> Arc<Apart<Hold>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let list = Self::list(method);
        if let Some(node) = self.nodes(list).find(|node| ptr::eq(node.method, method)) {
            return node.holds.here();
        }
        if *known == MOST {
            return self.others.here();
        }
        *known += 1;
        // The same method may be declared twice, and lie at two addresses.
        let same = (0..LISTS).flat_map(|list| self.nodes(list)).find(|node| node.method == method);
        let holds = match same {
            Some(node) => Holds::new(node.holds.entry()),
            None => Holds::new(&self.common.entry(method)),
        };
        let hold = holds.here();
        let last = self.nodes(list).last().map_or(&self.lists[list], |node| &node.next);
        // Nobody else can have set it, as the lock is held.
        let _ = last.set(Box::new(Node { method, holds, next: Link::new() }));
        hold
    }
}

impl Table for ByMethod {
    #[inline]
    fn find(&self, context: &Context) -> Arc<Apart<Hold>> {
        let Some(method) = context.method() else { return self.others.here() };
        match self.nodes(Self::list(method)).find(|node| ptr::eq(node.method, method)) {
            Some(node) => node.holds.here(),
            None => self.add(method),
        }
    }

    fn all(&self) -> Vec<Arc<Entry>> {
        let _known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = vec![self.others.entry().clone()];
        for node in (0..LISTS).flat_map(|list| self.nodes(list)) {
            let entry = node.holds.entry();
            if !all.iter().any(|known| Arc::ptr_eq(known, entry)) {
                all.push(entry.clone());
            }
        }
        all
    }
}

/// A breaker for each key that a function finds in the context.
pub(crate) struct ByKey<K, F> {
    common: Arc<Common>,
    others: Holds,
    entries: Keyed<K, Holds>,
    key: F,
}

impl<K: Hash + Eq, F> ByKey<K, F> {
    pub(crate) fn new(common: Arc<Common>, key: F) -> Self {
        Self { others: Holds::new(&common.entry(&OTHERS)), common, entries: Keyed::new(MOST), key }
    }
}

impl<K, F> Table for ByKey<K, F>
where
    K: Hash + Eq + Clone + Display + Send,
    F: Fn(&Context) -> Option<K> + Send + Sync,
{
    fn find(&self, context: &Context) -> Arc<Apart<Hold>> {
        let Some(key) = (self.key)(context) else { return self.others.here() };
        let make = || Holds::new(&self.common.entry(&key));
        // Nobody can begin to use one that is idle: it is found under the lock that is held.
        self.entries
            .with(&key, make, Holds::is_idle, Holds::here)
            .unwrap_or_else(|| self.others.here())
    }

    fn all(&self) -> Vec<Arc<Entry>> {
        let mut all = vec![self.others.entry().clone()];
        self.entries.for_each(|_, holds| all.push(holds.entry().clone()));
        all
    }
}
