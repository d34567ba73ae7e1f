use std::{
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// Tells the instants of calls in the world's time, which calls don't read.
pub(crate) struct Clock {
    pub(crate) start: Instant,
    /// The world's time at the start, in nanoseconds since 1970.
    world: AtomicI64,
}

/// By so much the world's clock may seem to have been set while it was only read slowly.
const JITTER: Duration = Duration::from_millis(1);

impl Clock {
    pub(crate) fn new() -> Self {
        let clock = Self { start: Instant::now(), world: AtomicI64::new(0) };
        clock.adjust(clock.start, SystemTime::now());
        clock
    }

    /// Follows the world's clock where it was set.
    pub(crate) fn adjust(&self, now: Instant, world: SystemTime) {
        let since = world.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let start = nanos(since) - nanos(now.saturating_duration_since(self.start));
        if start.abs_diff(self.world.load(Relaxed)) > JITTER.as_nanos() as u64 {
            self.world.store(start, Relaxed);
        }
    }

    pub(crate) fn world(&self, at: Instant) -> SystemTime {
        let start = Duration::from_nanos(self.world.load(Relaxed).max(0) as u64);
        let start = SystemTime::UNIX_EPOCH + start;
        match at.checked_duration_since(self.start) {
            Some(after) => start + after,
            None => start - self.start.saturating_duration_since(at),
        }
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_followed_and_jitter_is_not() {
        let clock = Clock::new();
        let (at, first) = (clock.start, clock.world(clock.start));
        let second = Duration::from_secs(1);
        clock.adjust(at + second, first + second + JITTER / 2);
        assert_eq!(clock.world(at), first);
        clock.adjust(at + second, first + 11 * second);
        assert_eq!(clock.world(at + second), first + 11 * second);
        assert_eq!(clock.world(at - second), first + 9 * second);
    }
}
