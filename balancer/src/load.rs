//! What is measured of an instance while calls go to it.

use crate::{
    Tally,
    latency::{Latency, decayed, ticks},
};
use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// What calls go to: an instance's endpoint, with what is measured of it.
///
/// The balancer holds one reference for as long as the instance is there, and each call one of its
/// own: how many there are beside the balancer's is how many calls are in flight. So a call counts
/// by holding what it needs anyway.
#[derive(Debug)]
pub(crate) struct Seat<E> {
    pub(crate) endpoint: Arc<E>,
    pub(crate) load: Arc<Load>,
}

/// A call's reference to the instance that it was given.
#[derive(Debug)]
pub(crate) struct InFlight<E>(Arc<Seat<E>>);

impl<E> InFlight<E> {
    #[inline]
    pub(crate) fn begin(seat: Arc<Seat<E>>) -> Self {
        if let Some(all) = &seat.load.shared.in_flight {
            all.fetch_add(1, Relaxed);
        }
        Self(seat)
    }
}

impl<E> Deref for InFlight<E> {
    type Target = Seat<E>;

    #[inline]
    fn deref(&self) -> &Seat<E> {
        &self.0
    }
}

impl<E> Drop for InFlight<E> {
    #[inline]
    fn drop(&mut self) {
        if let Some(all) = &self.0.load.shared.in_flight {
            all.fetch_sub(1, Relaxed);
        }
    }
}

/// The counters of one instance, which those who call it count in. Nothing here locks.
// All of it is one cache line, and no other instance's.
#[repr(align(64))]
pub(crate) struct Load {
    latency: Latency,
    /// Failures in a row, and when the last one was, in ticks.
    consecutive: AtomicU32,
    failed_at: AtomicU32,
    successes: AtomicU64,
    failures: AtomicU64,
    /// Calls that say nothing of the instance: given up, or panicked on this side.
    others: AtomicU64,
    shared: Arc<Shared>,
    id: Arc<str>,
}

/// What the instances of one balancer share.
pub(crate) struct Shared {
    /// When time began.
    pub(crate) origin: Instant,
    /// After how many failures in a row the balancer is told.
    pub(crate) patience: Option<u32>,
    pub(crate) owner: Weak<dyn Owner>,
    /// The calls in flight to all instances, counted where somebody asks for them.
    pub(crate) in_flight: Option<AtomicU32>,
}

/// Who decides what becomes of an instance that fails too often.
pub(crate) trait Owner: Send + Sync {
    fn failing(&self, load: &Load);
}

impl Load {
    pub(crate) fn new(id: &str, shared: Arc<Shared>, born: Instant) -> Self {
        Self {
            latency: Latency::new(shared.ticks(born)),
            consecutive: AtomicU32::new(0),
            failed_at: AtomicU32::new(0),
            successes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            others: AtomicU64::new(0),
            shared,
            id: id.into(),
        }
    }

    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// How many calls have ended.
    pub(crate) fn ended(&self) -> u64 {
        let counts = [&self.successes, &self.failures, &self.others];
        counts.map(|count| count.load(Relaxed)).iter().sum()
    }

    #[inline]
    pub(crate) fn latency(&self) -> &Latency {
        &self.latency
    }

    /// The average latency at an instant, in microseconds.
    pub(crate) fn micros(&self, now: Instant) -> f32 {
        self.latency.micros(self.shared.ticks(now))
    }

    /// A call that took so long has ended, by the instance's fault or not.
    #[inline]
    pub(crate) fn observe(&self, took: Duration, ended: Instant, failed: bool) {
        self.latency.observe(took, failed, self.shared.ticks(ended));
    }

    /// A call ended, by the instance's fault or not.
    #[inline]
    pub(crate) fn judge(&self, failed: bool) {
        if failed {
            return self.fail();
        }
        self.successes.fetch_add(1, Relaxed);
        // Most calls follow a success, and a read disturbs nobody.
        if self.is_failing() {
            self.forgive();
        }
    }

    #[cold]
    fn fail(&self) {
        self.failures.fetch_add(1, Relaxed);
        self.failed_at.store(self.shared.ticks(Instant::now()), Relaxed);
        let consecutive = self.consecutive.fetch_add(1, Relaxed).saturating_add(1);
        if self.shared.patience.is_some_and(|patience| consecutive.is_multiple_of(patience))
            && let Some(owner) = self.shared.owner.upgrade()
        {
            owner.failing(self);
        }
    }

    /// A call ended, and says nothing of the instance.
    pub(crate) fn pass_over(&self) {
        self.others.fetch_add(1, Relaxed);
    }

    /// Whether the last call that ended has failed.
    #[inline]
    pub(crate) fn is_failing(&self) -> bool {
        self.consecutive.load(Relaxed) > 0
    }

    /// How many calls in flight its failures in a row count for at an instant: twice as many for
    /// each, and fewer as time passes.
    ///
    /// Who fails at once has nothing in flight, which must not look like having time.
    #[cold]
    pub(crate) fn penalty(&self, now: Instant) -> f32 {
        let consecutive = self.consecutive.load(Relaxed);
        if consecutive == 0 {
            return 0.0;
        }
        let since = self.shared.ticks(now).wrapping_sub(self.failed_at.load(Relaxed));
        (consecutive.min(MOST_DOUBLINGS) as f32).exp2() * decayed(since)
    }

    /// Forgets the failures in a row, as when the instance is taken out or comes back.
    pub(crate) fn forgive(&self) {
        self.consecutive.store(0, Relaxed);
    }

    /// What was counted so far: it only ever grows, and wraps.
    pub(crate) fn tally(&self) -> Tally {
        let [successes, failures] = [&self.successes, &self.failures];
        Tally { successes: successes.load(Relaxed) as u32, failures: failures.load(Relaxed) as u32 }
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Failures in a row that count; 256 calls in flight are enough to be the last choice.
const MOST_DOUBLINGS: u32 = 8;

impl Shared {
    #[inline]
    fn ticks(&self, now: Instant) -> u32 {
        ticks(now.saturating_duration_since(self.origin))
    }
}
