//! The permits: one word that all calls share, and the slow ways around it.

use crate::{
    ConcurrencyLimit, Limit, Shed,
    adaptive::{Adaptive, Sample},
    queue::{LEVELS, Queue, Until},
};
use purlin_endpoint::{Criticality, Invalid};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};
use tokio::{
    sync::oneshot::{Receiver, Sender, channel},
    time::{Instant, timeout_at},
};

/// What somebody who has waited is told.
pub(crate) type Decision = Result<Permit, Shed>;

/// A limit with its queue, shared by all calls.
///
/// How many are in flight and how many wait is one word. So either the call that ends sees that
/// somebody waits, or the one that is about to wait sees that there is room: nobody waits for ever.
/// In declaration order, so that what every call touches is one cache line, also the counts of the
/// `Arc`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Limiter {
    /// In flight in the lower half, waiting in the upper.
    state: AtomicU64,
    /// The limit for each criticality.
    limits: [AtomicU32; 4],
    adapts: AtomicBool,
    shed: [AtomicU64; 4],
    made: Instant,
    room: Mutex<Room>,
    tuning: Mutex<Tuning>,
}

/// Where calls wait. `waiting` of the state changes only under its lock.
#[derive(Debug)]
struct Room {
    config: ConcurrencyLimit,
    queue: Queue<Sender<Decision>>,
}

/// What finds the limit. Nobody waits for its lock to end a call.
#[derive(Debug)]
struct Tuning {
    config: ConcurrencyLimit,
    adaptive: Option<Adaptive>,
}

impl Tuning {
    fn new(config: ConcurrencyLimit, before: Option<&Adaptive>) -> Self {
        let adaptive = match config.limit {
            Limit::Fixed(_) => None,
            Limit::Adaptive(limit) => Some(Adaptive::new(limit, before)),
        };
        Self { config, adaptive }
    }

    fn limits(&self) -> [u32; 4] {
        let limit = match (&self.adaptive, self.config.limit) {
            (Some(adaptive), _) => adaptive.limit(),
            (None, Limit::Fixed(limit)) => limit,
            (None, Limit::Adaptive(limit)) => limit.initial,
        };
        LEVELS.map(|level| self.config.share(limit, level))
    }
}

const WAITING: u64 = 1 << 32;

fn in_flight(state: u64) -> u32 {
    state as u32
}

fn waiting(state: u64) -> u32 {
    (state >> 32) as u32
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Limiter {
    pub(crate) fn new(config: ConcurrencyLimit) -> Self {
        let tuning = Tuning::new(config.clone(), None);
        Self {
            state: AtomicU64::new(0),
            limits: tuning.limits().map(AtomicU32::new),
            adapts: AtomicBool::new(tuning.adaptive.is_some()),
            shed: Default::default(),
            made: Instant::now(),
            room: Mutex::new(Room { config, queue: Queue::new() }),
            tuning: Mutex::new(tuning),
        }
    }

    pub(crate) fn limit(&self, level: Criticality) -> u32 {
        self.limits[level as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn in_flight(&self) -> u32 {
        in_flight(self.state.load(Ordering::Relaxed))
    }

    pub(crate) fn waiting(&self) -> u32 {
        waiting(self.state.load(Ordering::Relaxed))
    }

    pub(crate) fn shed(&self, level: Criticality) -> u64 {
        self.shed[level as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn made(&self) -> Instant {
        self.made
    }

    pub(crate) fn count_shed(&self, level: Criticality) {
        self.shed[level as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it wants to hear how calls went.
    #[inline]
    pub(crate) fn adapts(&self) -> bool {
        self.adapts.load(Ordering::Relaxed)
    }

    /// Takes a permit, if there is room and nobody waits. Whoever is told `true` makes a [`Permit`].
    #[inline]
    pub(crate) fn enter(&self, level: Criticality) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        while waiting(state) == 0 && in_flight(state) < self.limit(level) {
            match self.exchange(state, state + 1) {
                Ok(()) => return true,
                Err(other) => state = other,
            }
        }
        false
    }

    #[inline]
    fn exchange(&self, old: u64, new: u64) -> Result<(), u64> {
        let done = self.state.compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Acquire);
        done.map(|_| ())
    }

    /// A permit after all, a place in the queue, or neither.
    #[cold]
    pub(crate) fn join(
        self: &Arc<Self>,
        level: Criticality,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<Entry, Shed> {
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Shed::Expired);
        }
        let mut room = lock(&self.room);
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let first = room.queue.next().is_none_or(|next| next < level);
            let enters = first && in_flight(state) < self.limit(level);
            let joins = waiting(state) < room.config.queue;
            let new = match () {
                () if enters => state + 1,
                () if joins => state + WAITING,
                () => break,
            };
            match self.exchange(state, new) {
                Ok(()) if enters => return Ok(Entry::Permit(Permit(self.clone()))),
                Ok(()) => return Ok(Entry::Place(self.place(&mut room, level, deadline, now))),
                Err(other) => state = other,
            }
        }
        let standing = room.config.standing;
        let displaced = room.queue.displace(level, standing, now).ok_or(Shed::Full)?;
        let place = self.place(&mut room, level, deadline, now);
        drop(room);
        // Nobody hears it who has gone away meanwhile.
        let _ = displaced.ticket.send(Err(Shed::Displaced));
        Ok(Entry::Place(place))
    }

    fn place(
        self: &Arc<Self>,
        room: &mut Room,
        level: Criticality,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Place {
        let until = Until::new(now, room.config.patience, deadline);
        let (ticket, told) = channel();
        let name = room.queue.push(level, until, ticket, now);
        Place { limiter: self.clone(), level, name, until, told }
    }

    /// Lets in as many as there is room for.
    #[cold]
    fn grant(self: &Arc<Self>) {
        while let Some((ticket, decision)) = self.next() {
            // If nobody takes the permit it comes back here, and goes to the next. The lock is not
            // held, neither for that nor while somebody is woken.
            drop(ticket.send(decision));
        }
    }

    fn next(self: &Arc<Self>) -> Option<(Sender<Decision>, Decision)> {
        let mut room = lock(&self.room);
        let level = room.queue.next()?;
        // While somebody waits and the lock is held, others can leave but not enter.
        if in_flight(self.state.load(Ordering::Acquire)) >= self.limit(level) {
            return None;
        }
        let (standing, now) = (room.config.standing, Instant::now());
        let waiter = room.queue.pop(level, standing, now)?;
        if waiter.until.at <= now {
            self.state.fetch_sub(WAITING, Ordering::AcqRel);
            return Some((waiter.ticket, Err(waiter.until.shed)));
        }
        // Both at once: in between, somebody else could enter.
        self.state.fetch_sub(WAITING - 1, Ordering::AcqRel);
        Some((waiter.ticket, Ok(Permit(self.clone()))))
    }

    /// Hears how a call went.
    pub(crate) fn sample(&self, sample: &Sample) {
        // A sample is lost if another thread is just giving one, which is better than to wait.
        let Ok(mut tuning) = self.tuning.try_lock() else { return };
        let Some(adaptive) = &mut tuning.adaptive else { return };
        if adaptive.sample(sample, self.in_flight()) {
            self.set_limits(&tuning);
        }
    }

    fn set_limits(&self, tuning: &Tuning) {
        for (limit, new) in self.limits.iter().zip(tuning.limits()) {
            limit.store(new, Ordering::Relaxed);
        }
    }

    pub(crate) fn update(self: &Arc<Self>, config: ConcurrencyLimit) -> Result<(), Invalid> {
        config.check()?;
        lock(&self.room).config = config.clone();
        {
            let mut tuning = lock(&self.tuning);
            *tuning = Tuning::new(config, tuning.adaptive.as_ref());
            self.adapts.store(tuning.adaptive.is_some(), Ordering::Relaxed);
            self.set_limits(&tuning);
        }
        self.grant();
        Ok(())
    }
}

/// A call in flight.
#[derive(Debug)]
pub(crate) struct Permit(pub(crate) Arc<Limiter>);

impl Permit {
    /// Leaves it to whoever is called next to make this permit again.
    pub(crate) fn hand_over(self) {
        // Counted once more before it is dropped, it stays counted throughout.
        self.0.state.fetch_add(1, Ordering::AcqRel);
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if waiting(self.0.state.fetch_sub(1, Ordering::AcqRel)) > 0 {
            self.0.grant();
        }
    }
}

/// What becomes of a call that didn't get in at once.
#[derive(Debug)]
pub(crate) enum Entry {
    Permit(Permit),
    Place(Place),
}

/// A place in the queue.
#[derive(Debug)]
pub(crate) struct Place {
    limiter: Arc<Limiter>,
    level: Criticality,
    name: u64,
    until: Until,
    pub(crate) told: Receiver<Decision>,
}

impl Place {
    /// Waits for a permit.
    pub(crate) async fn wait(mut self) -> Decision {
        match timeout_at(self.until.at, &mut self.told).await {
            Ok(Ok(decision)) => decision,
            // Only a limiter that is gone forgets to tell, and it lives as long as this.
            Ok(Err(_)) | Err(_) => Err(self.until.shed),
        }
    }
}

impl Drop for Place {
    /// Leaves the queue. A permit that has come and was not taken goes back with the receiver.
    fn drop(&mut self) {
        let mut room = lock(&self.limiter.room);
        if room.queue.remove(self.level, self.name).is_some() {
            self.limiter.state.fetch_sub(WAITING, Ordering::AcqRel);
        }
    }
}
