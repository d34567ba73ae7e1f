//! How long calls take, in constant memory, and the delay that follows from it.

use std::{
    array::from_fn,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Each power of two of nanoseconds in eight parts: a bucket is an eighth wide at most.
const PARTS: u64 = 8;
const BUCKETS: usize = 62 * PARTS as usize;

/// Calls before their percentile means anything.
const FEWEST: u32 = 100;
/// Calls after which all that was seen counts half.
const MOST: u32 = 2_000;
/// The delay is reckoned anew after so many calls, not on each.
const EVERY: u32 = 50;

const UNKNOWN: u64 = u64::MAX;

/// A histogram of latencies, and a delay that is a percentile of them or given.
///
/// Threads write without a lock. One that writes while another halves may be counted for half or
/// not at all, which moves a percentile by less than its bucket's width.
pub(crate) struct Latencies {
    buckets: [AtomicU32; BUCKETS],
    seen: AtomicU32,
    /// The bits of an `f64`; not a number if the delay is given.
    percentile: AtomicU64,
    /// Nanoseconds, or [`UNKNOWN`].
    delay: AtomicU64,
}

impl Latencies {
    pub(crate) fn new(percentile: Option<f64>, delay: Option<Duration>) -> Self {
        let latencies = Self {
            buckets: from_fn(|_| AtomicU32::new(0)),
            seen: AtomicU32::new(0),
            percentile: AtomicU64::new(0),
            delay: AtomicU64::new(UNKNOWN),
        };
        latencies.set(percentile, delay);
        latencies
    }

    /// Says what the delay is. One that is given beside a percentile counts until that is known.
    pub(crate) fn set(&self, percentile: Option<f64>, delay: Option<Duration>) {
        self.percentile.store(percentile.unwrap_or(f64::NAN).to_bits(), Relaxed);
        self.delay.store(delay.map_or(UNKNOWN, nanos), Relaxed);
        if self.seen.load(Relaxed) >= FEWEST {
            self.reckon();
        }
    }

    pub(crate) fn delay(&self) -> Option<Duration> {
        let delay = self.delay.load(Relaxed);
        (delay != UNKNOWN).then(|| Duration::from_nanos(delay))
    }

    /// Counts a call that took so long.
    pub(crate) fn record(&self, took: Duration) {
        if let Some(bucket) = self.buckets.get(bucket(nanos(took))) {
            bucket.fetch_add(1, Relaxed);
        }
        let seen = self.seen.fetch_add(1, Relaxed) + 1;
        if seen == MOST {
            for bucket in &self.buckets {
                bucket.store(bucket.load(Relaxed) / 2, Relaxed);
            }
            self.seen.store(MOST / 2, Relaxed);
        }
        if seen >= FEWEST && seen.is_multiple_of(EVERY) {
            self.reckon();
        }
    }

    fn reckon(&self) {
        let percentile = f64::from_bits(self.percentile.load(Relaxed));
        if percentile.is_nan() {
            return;
        }
        let counts = || self.buckets.iter().map(|bucket| u64::from(bucket.load(Relaxed)));
        let total: u64 = counts().sum();
        let wanted = ((total as f64 * percentile).ceil() as u64).max(1);
        let mut below = 0;
        for (index, count) in counts().enumerate() {
            below += count;
            if below >= wanted {
                self.delay.store(end_of(index), Relaxed);
                return;
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(UNKNOWN - 1)
}

fn bucket(nanos: u64) -> usize {
    if nanos < PARTS {
        return nanos as usize;
    }
    // The highest bit chooses the power of two, the three below it the part.
    let shift = nanos.ilog2() - PARTS.ilog2();
    (u64::from(shift) * PARTS + (nanos >> shift)) as usize
}

/// The first number of nanoseconds that is beyond this bucket.
fn end_of(bucket: usize) -> u64 {
    let next = bucket as u64 + 1;
    match next.checked_sub(2 * PARTS) {
        None => next,
        Some(_) => (PARTS + next % PARTS) << (next / PARTS - 1).min(60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_lies_in_a_bucket_that_is_an_eighth_wide_at_most() {
        let some = (0..63).flat_map(|power| [0, 1, 3].map(|more| (1_u64 << power) + more));
        for nanos in some.chain(0..1_000).chain([u64::MAX >> 1, UNKNOWN]) {
            let (bucket, index) = (bucket(nanos), bucket(nanos).min(BUCKETS - 1));
            assert!(bucket < BUCKETS, "{nanos} lies in bucket {bucket}");
            let (end, start) = (end_of(index), if index == 0 { 0 } else { end_of(index - 1) });
            assert!(start <= nanos, "{nanos} lies before {start}");
            if nanos < 1 << 62 {
                assert!(nanos < end, "{nanos} lies beyond {end}");
                assert!(end - start <= 1.max(start.div_ceil(8)), "{start} to {end}");
            }
        }
    }

    #[test]
    fn a_percentile_is_known_when_enough_was_seen_and_follows_the_latest() {
        let latencies = Latencies::new(Some(0.95), None);
        let record = |millis: u64| latencies.record(Duration::from_millis(millis));
        (1..FEWEST).for_each(|n| record(n.into()));
        assert_eq!(latencies.delay(), None);
        record(100);
        let near = |wanted: f64| {
            let delay = latencies.delay().unwrap().as_secs_f64() * 1e3;
            assert!((wanted..wanted * 1.13).contains(&delay), "{delay} for {wanted}");
        };
        near(95.0);
        (0..30_000).for_each(|n| record(1_000 + n % 100));
        near(1_095.0);
        (0..10_000).for_each(|n| record(1 + n % 10));
        near(10.0);
        assert!(latencies.seen.load(Relaxed) < MOST);
    }

    #[test]
    fn a_delay_that_is_given_stays_or_counts_until_a_percentile_is_known() {
        let given = Some(Duration::from_millis(7));
        let [fixed, until] = [None, Some(0.5)].map(|percentile| Latencies::new(percentile, given));
        for latencies in [&fixed, &until] {
            assert_eq!(latencies.delay(), given);
            (0..FEWEST).for_each(|_| latencies.record(Duration::from_secs(1)));
        }
        assert_eq!(fixed.delay(), given);
        assert!(until.delay().unwrap() >= Duration::from_secs(1));
        fixed.set(Some(0.5), None);
        assert_eq!(fixed.delay(), until.delay());
    }

    #[test]
    fn threads_may_count_at_once() {
        let latencies = Latencies::new(Some(0.9), None);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    (0..20_000).for_each(|n| latencies.record(Duration::from_micros(1 + n % 100)));
                });
            }
        });
        let micros = latencies.delay().unwrap().as_micros();
        assert!((80..=110).contains(&micros), "{micros}");
    }
}
