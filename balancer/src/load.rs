//! What is measured of an instance while calls go to it.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// The counters of one instance, which those who call it count in. Nothing here locks.
pub(crate) struct Load {
    id: Arc<str>,
    shared: Arc<Shared>,
    in_flight: AtomicU32,
    picked: AtomicU64,
    latency: Latency,
    successes: AtomicU32,
    failures: AtomicU32,
    consecutive: AtomicU32,
}

/// What the instances of one balancer share.
pub(crate) struct Shared {
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
            id: id.into(),
            shared,
            in_flight: AtomicU32::new(0),
            picked: AtomicU64::new(0),
            latency: Latency::new(born),
            successes: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            consecutive: AtomicU32::new(0),
        }
    }

    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    pub(crate) fn picked(&self) -> u64 {
        self.picked.load(Relaxed)
    }

    pub(crate) fn latency(&self) -> &Latency {
        &self.latency
    }

    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
        self.picked.fetch_add(1, Relaxed);
        if let Some(all) = &self.shared.in_flight {
            all.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn finish(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
        if let Some(all) = &self.shared.in_flight {
            all.fetch_sub(1, Relaxed);
        }
    }

    /// A call ended, by the instance's fault or not.
    pub(crate) fn judge(&self, failed: bool) {
        let Some(patience) = self.shared.patience else { return };
        if !failed {
            self.successes.fetch_add(1, Relaxed);
            // Most calls follow a success, and a read disturbs nobody.
            if self.consecutive.load(Relaxed) != 0 {
                self.forgive();
            }
            return;
        }
        self.failures.fetch_add(1, Relaxed);
        let consecutive = self.consecutive.fetch_add(1, Relaxed).saturating_add(1);
        if consecutive.is_multiple_of(patience)
            && let Some(owner) = self.shared.owner.upgrade()
        {
            owner.failing(self);
        }
    }

    /// Whether the last call that ended has failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.consecutive.load(Relaxed) > 0
    }

    /// Forgets the failures in a row, as when the instance is taken out or comes back.
    pub(crate) fn forgive(&self) {
        self.consecutive.store(0, Relaxed);
    }

    /// What was counted since this was asked last.
    pub(crate) fn tally(&self) -> crate::Tally {
        crate::Tally {
            successes: self.successes.swap(0, Relaxed),
            failures: self.failures.swap(0, Relaxed),
        }
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load").field("id", &self.id).field("in_flight", &self.in_flight).finish()
    }
}

/// A moving average of an instance's latency that believes a bad news at once and a good one
/// slowly: peak EWMA.
///
/// Source: Finagle's and linkerd's
/// [peak EWMA](https://linkerd.io/2016/03/16/beyond-round-robin-load-balancing-for-latency/), with
/// their constants: a decay of 10 s, and 30 ms for an instance of which nothing is known.
///
/// The average and the time of its last change share one word: microseconds as an `f32`, and
/// sixteenths of a millisecond since birth, which wrap after three days and are compared as such.
#[derive(Debug)]
pub(crate) struct Latency {
    born: Instant,
    word: AtomicU64,
}

const DECAY: Duration = Duration::from_secs(10);
const UNKNOWN: Duration = Duration::from_millis(30);
/// What a failure counts as, if it came faster: failing fast must not look like being fast.
const FAILED: Duration = Duration::from_secs(1);

impl Latency {
    fn new(born: Instant) -> Self {
        Self { born, word: AtomicU64::new(pack(micros(UNKNOWN), 0)) }
    }

    /// The average at an instant, in microseconds: it falls while nothing is heard, so that a slow
    /// instance is tried again.
    pub(crate) fn micros(&self, now: Instant) -> f32 {
        let (average, then) = unpack(self.word.load(Relaxed));
        average * decayed(self.ticks(now).wrapping_sub(then))
    }

    /// Takes in a call that ended now.
    pub(crate) fn observe(&self, took: Duration, failed: bool, now: Instant) {
        let took = micros(if failed { took.max(FAILED) } else { took });
        let ticks = self.ticks(now);
        // A lost race is a lost observation among many; nothing builds on each being counted.
        let word = self.word.load(Relaxed);
        let (average, then) = unpack(word);
        // Two ends may be told in another order than they came.
        let elapsed = ticks.wrapping_sub(then);
        let (elapsed, ticks) = if elapsed > u32::MAX / 2 { (0, then) } else { (elapsed, ticks) };
        let next = if took >= average {
            took
        } else {
            let old = decayed(elapsed);
            average * old + took * (1.0 - old)
        };
        let next = pack(next, ticks);
        let _ = self.word.compare_exchange(word, next, Relaxed, Relaxed);
    }

    fn ticks(&self, now: Instant) -> u32 {
        (now.saturating_duration_since(self.born).as_nanos() / 62_500) as u32
    }
}

fn decayed(ticks: u32) -> f32 {
    let ticks = if ticks > u32::MAX / 2 { 0 } else { ticks };
    (-(ticks as f32) / (16_000.0 * DECAY.as_secs_f32())).exp()
}

fn micros(duration: Duration) -> f32 {
    duration.as_secs_f32() * 1e6
}

fn pack(average: f32, ticks: u32) -> u64 {
    u64::from(average.to_bits()) << 32 | u64::from(ticks)
}

fn unpack(word: u64) -> (f32, u32) {
    (f32::from_bits((word >> 32) as u32), word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn near(actual: f32, expected: f32) {
        assert!((actual - expected).abs() < expected * 0.01, "{actual} is not about {expected}");
    }

    #[test]
    fn a_slow_answer_is_believed_at_once_and_a_fast_one_slowly() {
        let born = Instant::now();
        let latency = Latency::new(born);
        near(latency.micros(born), 30_000.0);
        latency.observe(100 * MS, false, born);
        near(latency.micros(born), 100_000.0);
        latency.observe(10 * MS, false, born + DECAY);
        near(
            latency.micros(born + DECAY),
            100_000.0 / 1f32.exp() + 10_000.0 * (1.0 - 1.0 / 1f32.exp()),
        );
    }

    #[test]
    fn what_is_not_heard_of_is_thought_better_of_in_time() {
        let born = Instant::now();
        let latency = Latency::new(born);
        latency.observe(1000 * MS, false, born);
        near(latency.micros(born + 2 * DECAY), 1_000_000.0 / 2f32.exp());
    }

    #[test]
    fn a_failure_that_came_fast_counts_as_slow() {
        let born = Instant::now();
        let latency = Latency::new(born);
        latency.observe(MS, true, born);
        near(latency.micros(born), 1_000_000.0);
    }

    #[test]
    fn many_fast_answers_within_a_millisecond_are_not_lost() {
        let born = Instant::now();
        let latency = Latency::new(born);
        for step in 1..=1_000_000 {
            latency.observe(MS, false, born + step * Duration::from_micros(70));
        }
        near(latency.micros(born + 70 * Duration::from_secs(1)), 1_027.0);
    }

    #[test]
    fn the_clock_of_three_days_may_turn_over() {
        let born = Instant::now();
        let latency = Latency::new(born);
        let almost = Duration::from_nanos(62_500) * u32::MAX;
        latency.observe(100 * MS, false, born + almost);
        near(latency.micros(born + almost + MS), 100_000.0);
    }

    #[test]
    fn ends_told_in_the_wrong_order_move_nothing_backwards() {
        let born = Instant::now();
        let latency = Latency::new(born);
        latency.observe(100 * MS, false, born + DECAY);
        latency.observe(10 * MS, false, born);
        near(latency.micros(born + DECAY), 100_000.0);
        near(latency.micros(born), 100_000.0);
    }
}
