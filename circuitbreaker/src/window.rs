//! Sliding windows in constant memory.

use crate::config::Span;
use std::{
    mem,
    ops::{AddAssign, SubAssign},
    time::Duration,
};
use tokio::time::Instant;

/// How many calls ended, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) calls: u32,
    pub(crate) failed: u32,
    pub(crate) slow: u32,
}

impl Tally {
    pub(crate) fn one(failed: bool, slow: bool) -> Self {
        Self { calls: 1, failed: failed.into(), slow: slow.into() }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.calls += more.calls;
        self.failed += more.failed;
        self.slow += more.slow;
    }
}

impl SubAssign for Tally {
    fn sub_assign(&mut self, less: Self) {
        self.calls -= less.calls;
        self.failed -= less.failed;
        self.slow -= less.slow;
    }
}

/// The last so many calls, or those of the last so long.
#[derive(Debug)]
pub(crate) enum Window {
    Calls(Ring),
    Time(Buckets<Tally>),
}

impl Window {
    pub(crate) fn new(span: Span, now: Instant) -> Self {
        match span {
            Span::Calls(calls) => Self::Calls(Ring::new(calls)),
            Span::Time(time) => Self::Time(Buckets::new(time, 10, now)),
        }
    }

    /// Adds a call, and tells what the window holds then.
    #[inline]
    pub(crate) fn add(&mut self, failed: bool, slow: bool, now: Instant) -> Tally {
        match self {
            Self::Calls(ring) => {
                let failed = if failed { FAILED } else { 0 };
                let slow = if slow { SLOW } else { 0 };
                ring.put(CALL | failed | slow);
                ring.tally()
            }
            Self::Time(buckets) => buckets.add(Tally::one(failed, slow), now),
        }
    }

    /// How many calls it has room for.
    pub(crate) fn room(&self) -> u32 {
        match self {
            Self::Calls(ring) => ring.len(),
            Self::Time(_) => u32::MAX,
        }
    }

    /// What it holds now.
    pub(crate) fn tally(&mut self, now: Instant) -> Tally {
        if let Self::Time(buckets) = self {
            buckets.add(Tally::default(), now);
        }
        self.last()
    }

    /// What it held when it was last used.
    #[inline]
    pub(crate) fn last(&self) -> Tally {
        match self {
            Self::Calls(ring) => ring.tally(),
            Self::Time(buckets) => buckets.total,
        }
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Self::Calls(ring) => ring.clear(),
            Self::Time(buckets) => buckets.clear(),
        }
    }

    /// Reaches as far back as this from now on. The newest calls are kept where both are counted
    /// in calls; else it starts empty.
    pub(crate) fn resize(&mut self, span: Span, now: Instant) {
        match (&mut *self, span) {
            (Self::Calls(ring), Span::Calls(calls)) if ring.len() == calls => {}
            (Self::Time(buckets), Span::Time(time)) if buckets.each == time / 10 => {}
            (Self::Calls(ring), Span::Calls(calls)) => *ring = ring.resized(calls),
            _ => *self = Self::new(span, now),
        }
    }
}

/// The last so many calls, a byte for each: 0 for none yet, or [`CALL`] and what it was besides.
#[derive(Debug)]
pub(crate) struct Ring {
    seen: Box<[u8]>,
    next: usize,
    /// Three counts of 21 bits in one word. In three words that are written one by one and then
    /// read as two, they would cost a call more than all the rest of the window.
    counts: u64,
}

pub(crate) const CALL: u8 = 1;
const FAILED: u8 = 2;
const SLOW: u8 = 4;

/// What each byte adds to the counts.
const COUNTS: [u64; 8] = {
    let mut counts = [0; 8];
    let mut call = 0;
    while call < counts.len() as u64 {
        counts[call as usize] = call & 1 | (call >> 1 & 1) << 21 | (call >> 2) << 42;
        call += 1;
    }
    counts
};

impl Ring {
    fn new(calls: u32) -> Self {
        Self { seen: vec![0; calls as usize].into(), next: 0, counts: 0 }
    }

    fn len(&self) -> u32 {
        self.seen.len() as u32
    }

    #[inline]
    pub(crate) fn put(&mut self, call: u8) {
        let oldest = mem::replace(&mut self.seen[self.next], call);
        self.next += 1;
        if self.next == self.seen.len() {
            self.next = 0;
        }
        self.counts += COUNTS[usize::from(call & 7)];
        self.counts -= COUNTS[usize::from(oldest & 7)];
    }

    #[inline]
    pub(crate) fn tally(&self) -> Tally {
        let [calls, failed, slow] = [0, 21, 42].map(|bit| (self.counts >> bit) as u32 & 0x1F_FFFF);
        Tally { calls, failed, slow }
    }

    fn clear(&mut self) {
        self.seen.fill(0);
        self.counts = 0;
    }

    fn resized(&self, calls: u32) -> Self {
        let mut resized = Self::new(calls);
        let (newer, older) = self.seen.split_at(self.next);
        // Those that no longer fit are pushed out again by those that come after them.
        older.iter().chain(newer).filter(|call| **call != 0).for_each(|call| resized.put(*call));
        resized
    }
}

/// What was counted within the last so long, in buckets of equal length.
#[derive(Debug)]
pub(crate) struct Buckets<T> {
    each: Duration,
    slots: Box<[T]>,
    newest: usize,
    /// When the newest bucket began.
    began: Instant,
    total: T,
}

impl<T: Copy + Default + AddAssign + SubAssign> Buckets<T> {
    pub(crate) fn new(window: Duration, count: u32, now: Instant) -> Self {
        Self {
            each: window / count,
            slots: vec![T::default(); count as usize].into(),
            newest: 0,
            began: now,
            total: T::default(),
        }
    }

    /// Adds to the newest bucket, and tells the sum of all. What comes late counts as new.
    #[inline]
    pub(crate) fn add(&mut self, what: T, now: Instant) -> T {
        let since = now.saturating_duration_since(self.began);
        if since >= self.each {
            self.turn(since);
        }
        self.slots[self.newest] += what;
        self.total += what;
        self.total
    }

    /// Goes on to the bucket that so long after the newest one's beginning lies in.
    fn turn(&mut self, since: Duration) {
        let steps = since.as_nanos() / self.each.as_nanos();
        for _ in 0..steps.min(self.slots.len() as u128) {
            self.newest = (self.newest + 1) % self.slots.len();
            self.total -= mem::take(&mut self.slots[self.newest]);
        }
        let into = since.as_nanos() % self.each.as_nanos();
        self.began += since - Duration::from_nanos(into as u64);
    }

    pub(crate) fn clear(&mut self) {
        self.slots.fill(T::default());
        self.total = T::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_window_of_calls_forgets_the_oldest_as_new_ones_come() {
        let now = Instant::now();
        let mut window = Window::new(Span::Calls(2), now);
        assert_eq!(window.add(true, true, now), Tally { calls: 1, failed: 1, slow: 1 });
        assert_eq!(window.add(false, true, now), Tally { calls: 2, failed: 1, slow: 2 });
        assert_eq!(window.add(false, false, now), Tally { calls: 2, failed: 0, slow: 1 });
    }

    #[test]
    fn a_window_of_time_forgets_the_oldest_tenth_at_once() {
        let now = Instant::now();
        let mut window = Window::new(Span::Time(10 * SECOND), now);
        for second in 0..10 {
            let calls = window.add(true, false, now + second * SECOND).calls;
            assert_eq!(calls, second + 1);
        }
        assert_eq!(window.tally(now + 10 * SECOND).calls, 9);
        assert_eq!(window.tally(now + 18 * SECOND), Tally { calls: 1, failed: 1, slow: 0 });
        assert_eq!(window.tally(now + 1_000_000 * SECOND), Tally::default());
    }

    #[test]
    fn a_call_that_comes_late_counts_as_new() {
        let now = Instant::now();
        let mut window = Window::new(Span::Time(10 * SECOND), now);
        window.add(true, false, now + 5 * SECOND);
        assert_eq!(window.add(true, false, now).calls, 2);
        assert_eq!(window.tally(now + 14 * SECOND).calls, 2);
        assert_eq!(window.tally(now + 15 * SECOND).calls, 0);
    }

    #[test]
    fn a_window_of_calls_that_changes_its_size_keeps_the_newest() {
        let now = Instant::now();
        let mut window = Window::new(Span::Calls(3), now);
        for failed in [true, true, false, true, false] {
            window.add(failed, false, now);
        }
        window.resize(Span::Calls(2), now);
        assert_eq!(window.tally(now), Tally { calls: 2, failed: 1, slow: 0 });
        window.resize(Span::Calls(5), now);
        assert_eq!(window.add(true, false, now), Tally { calls: 3, failed: 2, slow: 0 });
        window.resize(Span::Time(SECOND), now);
        assert_eq!(window.tally(now), Tally::default());
    }
}
