//! How long an instance's calls take, as a moving average.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Ticks are sixteenths of a millisecond. They wrap after three days, and are compared as such.
const TICK: u64 = 62_500;

/// How many ticks there are in it.
#[inline]
pub(crate) fn ticks(since: Duration) -> u32 {
    (nanos(since) / TICK) as u32
}

/// A moving average of an instance's latency that believes a bad news at once and a good one
/// slowly: peak EWMA.
///
/// Source: Finagle's and linkerd's
/// [peak EWMA](https://linkerd.io/2016/03/16/beyond-round-robin-load-balancing-for-latency/), with
/// their constants: a decay of 10 s, and 30 ms for an instance of which nothing is known.
///
/// The average and the time of its last change share one word: microseconds as an `f32`, and ticks.
/// The average falls while nothing is heard, so that a slow instance is tried again.
#[derive(Debug)]
pub(crate) struct Latency(AtomicU64);

const DECAY: Duration = Duration::from_secs(10);
const UNKNOWN: Duration = Duration::from_millis(30);
/// What a failure counts as, if it came faster: failing fast must not look like being fast.
const FAILED: Duration = Duration::from_secs(1);

impl Latency {
    pub(crate) fn new(born: u32) -> Self {
        Self(AtomicU64::new(pack(micros(UNKNOWN), born)))
    }

    /// The average at a tick, in microseconds.
    pub(crate) fn micros(&self, now: u32) -> f32 {
        let (average, then) = unpack(self.0.load(Relaxed));
        average * decayed(now.wrapping_sub(then))
    }

    /// The averages of two at one time, for a comparison. Both fall alike, so that it does not
    /// matter at which: the clock need not be read.
    #[inline]
    pub(crate) fn beside(&self, other: &Self) -> (f32, f32) {
        let (mine, then) = unpack(self.0.load(Relaxed));
        let (others, others_then) = unpack(other.0.load(Relaxed));
        let later = then.wrapping_sub(others_then);
        if is_later(later) {
            (mine, others * decayed(later))
        } else {
            (mine * decayed(later.wrapping_neg()), others)
        }
    }

    /// Takes in a call that ended now.
    #[inline]
    pub(crate) fn observe(&self, took: Duration, failed: bool, now: u32) {
        let took = micros(if failed { took.max(FAILED) } else { took });
        // A lost race is a lost observation among many; nothing builds on each being counted.
        let word = self.0.load(Relaxed);
        let (average, then) = unpack(word);
        // Two ends may be told in another order than they came.
        let elapsed = now.wrapping_sub(then);
        let (elapsed, now) = if is_later(elapsed) { (elapsed, now) } else { (0, then) };
        let next = if took >= average {
            took
        } else {
            let old = decayed(elapsed);
            average * old + took * (1.0 - old)
        };
        let _ = self.0.compare_exchange(word, pack(next, now), Relaxed, Relaxed);
    }
}

/// Whether so many ticks lie in the future, or in the past of a clock that wraps.
#[inline]
fn is_later(ticks: u32) -> bool {
    ticks <= u32::MAX / 2
}

/// How much is left after so many ticks of what was one.
#[inline]
pub(crate) fn decayed(ticks: u32) -> f32 {
    let ticks = if is_later(ticks) { ticks } else { 0 };
    const DECAYS: f32 = 1.0 / (16_000.0 * DECAY.as_secs() as f32);
    let decays = ticks as f32 * DECAYS;
    // Within 50 ms, which is the rule under load, an `f32` does not show more of the series.
    if decays < 0.005 { 1.0 - decays + 0.5 * decays * decays } else { (-decays).exp() }
}

/// In 64 bits, which last for centuries: a division of 128 is a dear one.
fn nanos(duration: Duration) -> u64 {
    duration.as_secs().wrapping_mul(1_000_000_000).wrapping_add(duration.subsec_nanos().into())
}

fn micros(duration: Duration) -> f32 {
    nanos(duration) as f32 * 1e-3
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
    use tokio::time::Instant;

    const MS: Duration = Duration::from_millis(1);

    /// A latency whose time began when it was born.
    struct Since(Instant, Latency);

    impl Since {
        fn new(born: Instant) -> Self {
            Self(born, Latency::new(0))
        }

        fn micros(&self, now: Instant) -> f32 {
            self.1.micros(ticks(now - self.0))
        }

        fn observe(&self, took: Duration, failed: bool, now: Instant) {
            self.1.observe(took, failed, ticks(now - self.0));
        }
    }

    fn near(actual: f32, expected: f32) {
        assert!((actual - expected).abs() < expected * 0.01, "{actual} is not about {expected}");
    }

    #[test]
    fn a_slow_answer_is_believed_at_once_and_a_fast_one_slowly() {
        let born = Instant::now();
        let latency = Since::new(born);
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
        let latency = Since::new(born);
        latency.observe(1000 * MS, false, born);
        near(latency.micros(born + 2 * DECAY), 1_000_000.0 / 2f32.exp());
    }

    #[test]
    fn a_failure_that_came_fast_counts_as_slow() {
        let born = Instant::now();
        let latency = Since::new(born);
        latency.observe(MS, true, born);
        near(latency.micros(born), 1_000_000.0);
    }

    #[test]
    fn many_fast_answers_within_a_millisecond_are_not_lost() {
        let born = Instant::now();
        let latency = Since::new(born);
        for step in 1..=1_000_000 {
            latency.observe(MS, false, born + step * Duration::from_micros(70));
        }
        near(latency.micros(born + 70 * Duration::from_secs(1)), 1_027.0);
    }

    #[test]
    fn the_clock_of_three_days_may_turn_over() {
        let born = Instant::now();
        let latency = Since::new(born);
        let almost = Duration::from_nanos(62_500) * u32::MAX;
        latency.observe(100 * MS, false, born + almost);
        near(latency.micros(born + almost + MS), 100_000.0);
    }

    #[test]
    fn ends_told_in_the_wrong_order_move_nothing_backwards() {
        let born = Instant::now();
        let latency = Since::new(born);
        latency.observe(100 * MS, false, born + DECAY);
        latency.observe(10 * MS, false, born);
        near(latency.micros(born + DECAY), 100_000.0);
        near(latency.micros(born), 100_000.0);
    }

    #[test]
    fn two_that_are_compared_are_compared_at_one_time() {
        let born = Instant::now();
        let [first, second] = [100, 10].map(|took| {
            let latency = Since::new(born);
            latency.observe(took * MS, false, born + took * 10 * MS);
            latency
        });
        // The other order falls on the other side of the difference in time.
        for (one, other) in [(&first, &second), (&second, &first)] {
            let (mine, others) = one.1.beside(&other.1);
            let later = born + DECAY;
            near(mine / others, one.micros(later) / other.micros(later));
        }
    }
}
