//! What came and how it went in the last five minutes, in slots of five seconds.

use serde::Serialize;
use std::time::Duration;

/// How long a slot is.
pub(crate) const SLOT: Duration = Duration::from_secs(5);
/// How many slots are kept.
pub(crate) const SLOTS: usize = 60;
/// How many durations have a bucket of their own: from 0.1 ms on, each twice the one before.
const BOUNDS: usize = 20;

/// The upper bounds of the buckets, in milliseconds; the last bucket has none.
pub(crate) fn bounds_ms() -> [f64; BOUNDS] {
    std::array::from_fn(|index| 0.1 * f64::from(1_u32 << index))
}

fn bucket(took: Duration) -> usize {
    let units = u64::try_from(took.as_micros().div_ceil(100)).unwrap_or(u64::MAX);
    // The exponent of the smallest power of two that is not less.
    let exponent = units.saturating_sub(1).checked_ilog2().map_or(0, |log| log + 1);
    (exponent as usize).min(BOUNDS)
}

/// One slot: how many calls ended in it, how many of them failed, and how long they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Slot {
    pub(crate) calls: u32,
    pub(crate) failed: u32,
    /// How many calls there are in each bucket.
    pub(crate) took: [u32; BOUNDS + 1],
}

/// The slots of one method, which know no clock: whoever records says which slot it is.
#[derive(Debug)]
pub(crate) struct Series {
    newest: u64,
    slots: [Slot; SLOTS],
}

impl Series {
    pub(crate) fn new() -> Self {
        Self { newest: 0, slots: [Slot::default(); SLOTS] }
    }

    pub(crate) fn record(&mut self, slot: u64, took: Duration, failed: bool) {
        self.forward(slot);
        // What ends in a slot that is gone counts to the newest: it is a moment late.
        let slot = &mut self.slots[index(self.newest)];
        slot.calls += 1;
        slot.failed += u32::from(failed);
        slot.took[bucket(took)] += 1;
    }

    /// All slots, the oldest first; the last is the one that is not over yet.
    pub(crate) fn read(&mut self, slot: u64) -> Vec<Slot> {
        self.forward(slot);
        let oldest = self.newest + 1;
        (0..SLOTS as u64).map(|after| self.slots[index(oldest + after)]).collect()
    }

    fn forward(&mut self, slot: u64) {
        let over = slot.saturating_sub(self.newest).min(SLOTS as u64);
        for late in 0..over {
            self.slots[index(slot - late)] = Slot::default();
        }
        self.newest = self.newest.max(slot);
    }
}

fn index(slot: u64) -> usize {
    (slot % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let bounds = bounds_ms();
        for took in [0, 1, 99, 100, 101, 200, 201, 52_428_800, 52_428_801, 90_000_000] {
            let took = Duration::from_micros(took);
            let expected = bounds.iter().position(|bound| took.as_secs_f64() * 1e3 <= *bound);
            assert_eq!(bucket(took), expected.unwrap_or(BOUNDS), "{took:?}");
        }
        assert_eq!(bucket(Duration::MAX), BOUNDS);
    }

    #[test]
    fn a_slot_that_comes_round_again_is_empty() {
        let mut series = Series::new();
        series.record(3, MS, true);
        assert_eq!(series.read(3)[SLOTS - 1].failed, 1);
        assert_eq!(series.read(62)[0].calls, 1, "it is the oldest");
        assert!(series.read(63).iter().all(|slot| slot.calls == 0));
        series.record(1000, MS, false);
        let calls: u32 = series.read(1000).iter().map(|slot| slot.calls).sum();
        assert_eq!(calls, 1);
    }

    #[test]
    fn what_comes_late_counts_to_the_newest_slot() {
        let mut series = Series::new();
        series.record(100, MS, false);
        series.record(2, MS, false);
        assert_eq!(series.read(100)[SLOTS - 1].calls, 2);
    }
}
