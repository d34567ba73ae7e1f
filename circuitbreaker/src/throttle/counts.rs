//! What a throttle counts.

use super::{Throttle, Throttled};
use crate::window::Buckets;
use std::{
    ops::{AddAssign, SubAssign},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::time::Instant;

/// Requests, and how many of them were accepted. A bucket in which more were taken back than made
/// is below zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) requests: i64,
    pub(super) accepts: i64,
}

/// The window's buckets: of the default two minutes, a second each.
const BUCKETS: u32 = 120;

const MADE: Seen = Seen { requests: 1, accepts: 0 };
pub(super) const ACCEPTED: Seen = Seen { requests: 0, accepts: 1 };
pub(super) const TAKEN_BACK: Seen = Seen { requests: -1, accepts: 0 };

impl AddAssign for Seen {
    fn add_assign(&mut self, more: Self) {
        self.requests += more.requests;
        self.accepts += more.accepts;
    }
}

impl SubAssign for Seen {
    fn sub_assign(&mut self, less: Self) {
        self.requests -= less.requests;
        self.accepts -= less.accepts;
    }
}

#[derive(Debug)]
pub(super) struct Counts {
    core: Mutex<Core>,
    /// What is shown to others, so that they need not take the lock.
    pub(super) requests: AtomicU64,
    pub(super) accepts: AtomicU64,
    pub(super) refused: AtomicU64,
}

#[derive(Debug)]
struct Core {
    config: Throttle,
    seen: Buckets<Seen>,
}

impl Counts {
    pub(super) fn new(config: Throttle, now: Instant) -> Self {
        let seen = Buckets::new(config.time, BUCKETS, now);
        let [requests, accepts, refused] = [0; 3].map(AtomicU64::new);
        Self { core: Mutex::new(Core { config, seen }), requests, accepts, refused }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn config(&self) -> Throttle {
        self.core().config
    }

    /// Takes other settings. What was counted is kept unless the time is another.
    pub(super) fn update(&self, config: Throttle, now: Instant) {
        let mut core = self.core();
        if core.config.time != config.time {
            core.seen = Buckets::new(config.time, BUCKETS, now);
        }
        core.config = config;
    }

    /// With what probability a call is refused that comes now.
    pub(super) fn probability(&self, now: Instant) -> f64 {
        let mut core = self.core();
        let seen = core.seen.add(Seen::default(), now);
        core.config.probability(seen)
    }

    /// Counts a request, and says whether to make it, given a random draw of 0 to 1.
    pub(super) fn admit(&self, now: Instant, draw: f64) -> Result<(), Throttled> {
        let mut core = self.core();
        let before = core.seen.add(Seen::default(), now);
        let probability = core.config.probability(before);
        self.show(core.seen.add(MADE, now));
        drop(core);
        if draw < probability {
            self.refused.fetch_add(1, Relaxed);
            return Err(Throttled(()));
        }
        Ok(())
    }

    /// Counts what became of a request that began then, as if it were new.
    pub(super) fn add(&self, what: Seen, began: Instant) {
        self.show(self.core().seen.add(what, began));
    }

    fn show(&self, seen: Seen) {
        self.requests.store(seen.requests.max(0) as u64, Relaxed);
        self.accepts.store(seen.accepts.max(0) as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn counts(config: Throttle) -> (Counts, Instant) {
        let now = Instant::now();
        (Counts::new(config, now), now)
    }

    #[test]
    fn the_probability_is_that_of_the_formula() {
        let config = Throttle::new().floor(0);
        for (requests, accepts, probability) in [
            (0, 0, 0.0),
            (1, 0, 0.5),
            (100, 50, 0.0),
            (100, 49, 2.0 / 101.0),
            (100, 0, 100.0 / 101.0),
            (100, 100, 0.0),
            (-1, 0, 0.0),
        ] {
            assert_eq!(config.probability(Seen { requests, accepts }), probability);
        }
        assert_eq!(config.ratio(1.5).probability(Seen { requests: 99, accepts: 33 }), 0.495);
        assert_eq!(config.floor(10).probability(Seen { requests: 10, accepts: 0 }), 0.0);
        assert_eq!(config.floor(10).probability(Seen { requests: 19, accepts: 0 }), 0.45);
    }

    #[test]
    fn calls_that_hang_are_seen_as_they_are_made() {
        let (counts, now) = counts(Throttle::new().floor(10));
        let mut admitted = 0;
        for _ in 0..100 {
            admitted += u32::from(counts.admit(now, 0.5).is_ok());
        }
        // From the 22nd on the probability is above one half: (21 - 10) / 22.
        assert_eq!(admitted, 22);
    }

    #[test]
    fn a_backend_that_accepts_half_is_sent_twice_what_it_accepts() {
        let (counts, now) = counts(Throttle::new());
        let mut random = fastrand::Rng::with_seed(7);
        let (mut sent, mut accepted) = (0, 0);
        // It is offered 100 calls a second, and accepts 10.
        for second in 0..600 {
            let now = now + second * SECOND;
            let mut room = 10;
            for _ in 0..100 {
                if counts.admit(now, random.f64()).is_ok() {
                    let counted = u32::from(second >= 300);
                    sent += counted;
                    if room > 0 {
                        room -= 1;
                        accepted += counted;
                        counts.add(ACCEPTED, now);
                    }
                }
            }
        }
        assert!((2_950..=3_000).contains(&accepted), "{accepted}");
        let ratio = f64::from(sent) / f64::from(accepted);
        assert!((1.8..2.2).contains(&ratio), "{ratio}");
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let (counts, now) = counts(Throttle::new().floor(0));
        for _ in 0..100 {
            let _ = counts.admit(now, 1.0);
        }
        assert!(counts.admit(now + 119 * SECOND, 0.9).is_err());
        assert!(counts.admit(now + 241 * SECOND, 0.0).is_ok());
    }
}
