//! How much was counted in each of the last seconds, without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const SLOTS: u64 = 10;
const COUNT: u64 = u32::MAX as u64;

/// Counts by second, for the last ten: the second in the upper half of a word, its count in the
/// lower, so that both change together.
#[derive(Default)]
pub(crate) struct Window {
    slots: [AtomicU64; SLOTS as usize],
    /// What was counted before the slots were used anew.
    past: AtomicU64,
}

impl Window {
    #[inline]
    fn slot(&self, second: u64) -> &AtomicU64 {
        &self.slots[(second % SLOTS) as usize]
    }

    #[inline]
    pub(crate) fn add(&self, second: u64) {
        let slot = self.slot(second);
        let mut known = slot.load(Relaxed);
        while known >> 32 < second {
            match slot.compare_exchange_weak(known, second << 32 | 1, Relaxed, Relaxed) {
                Ok(_) => {
                    self.past.fetch_add(known & COUNT, Relaxed);
                    return;
                }
                Err(newer) => known = newer,
            }
        }
        // A reading of the clock that is ten seconds late counts for now: better than not at all.
        slot.fetch_add(1, Relaxed);
    }

    pub(crate) fn take_back(&self, second: u64) {
        let _ = self.slot(second).fetch_update(Relaxed, Relaxed, |known| {
            (known >> 32 == second && known & COUNT > 0).then(|| known - 1)
        });
    }

    #[inline]
    pub(crate) fn in_second(&self, second: u64) -> u64 {
        let known = self.slot(second).load(Relaxed);
        if known >> 32 == second { known & COUNT } else { 0 }
    }

    /// The counts of the last ten seconds.
    fn recent(&self, second: u64) -> impl Iterator<Item = (u64, u64)> {
        let split = |slot: &AtomicU64| {
            let known = slot.load(Relaxed);
            (known >> 32, known & COUNT)
        };
        self.slots.iter().map(split).filter(move |(counted, _)| counted + SLOTS > second)
    }

    /// All that was ever counted.
    pub(crate) fn total(&self) -> u64 {
        let counts = self.slots.iter().map(|slot| slot.load(Relaxed) & COUNT);
        self.past.load(Relaxed) + counts.sum::<u64>()
    }

    pub(crate) fn sum(&self, second: u64) -> u64 {
        self.recent(second).map(|(_, count)| count).sum()
    }

    /// How many of the last ten seconds have counted anything, this one included in any case.
    pub(crate) fn busy(&self, second: u64) -> u64 {
        let busy = |(counted, count): &(u64, u64)| *counted != second && *count > 0;
        1 + self.recent(second).filter(busy).count() as u64
    }
}
