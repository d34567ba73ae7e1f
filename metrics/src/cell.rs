use crate::{Bucket, Buckets, Exemplar};
use purlin_endpoint::{SpanId, TraceId};
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// A number that goes up.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

/// A number that calls raise and lower.
#[derive(Default)]
pub(crate) struct Level(AtomicI64);

/// A number that is set.
#[derive(Default)]
pub(crate) struct Value(AtomicU64);

/// Counts values by their size.
pub(crate) struct Histogram {
    buckets: Buckets,
    /// The bounds in whole nanoseconds, if it counts durations.
    nanos: Option<Box<[u64]>>,
    cells: Box<[Cell]>,
}

/// One bucket keeps its own sum, so that whoever sends it on as a value and how often it came
/// sends the right total.
#[derive(Default)]
struct Cell {
    count: AtomicU64,
    /// Nanoseconds, which add up exactly, or the bits of a float.
    sum: AtomicU64,
    seen: Mutex<Option<Seen>>,
}

/// The call that an exemplar is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    pub(crate) value: f64,
    pub(crate) at: Instant,
}

impl Count {
    pub(crate) fn add(&self, value: u64) {
        self.0.fetch_add(value, Relaxed);
    }

    pub(crate) fn raise(&self, value: u64) {
        self.0.fetch_max(value, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Level {
    #[inline]
    pub(crate) fn add(&self, value: i64) {
        self.0.fetch_add(value, Relaxed);
    }

    pub(crate) fn get(&self) -> f64 {
        self.0.load(Relaxed) as f64
    }
}

impl Value {
    pub(crate) fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    pub(crate) fn add(&self, value: f64) {
        add(&self.0, value);
    }

    pub(crate) fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

fn add(bits: &AtomicU64, value: f64) {
    // Without a limit to the tries it always succeeds.
    let _ =
        bits.fetch_update(Relaxed, Relaxed, |bits| Some((f64::from_bits(bits) + value).to_bits()));
}

const NANOS: f64 = 1e9;

impl Histogram {
    /// Counts numbers.
    pub(crate) fn numbers(buckets: Buckets) -> Self {
        Self { cells: cells(&buckets), nanos: None, buckets }
    }

    /// Counts durations, whose bounds are in seconds.
    pub(crate) fn durations(buckets: Buckets) -> Self {
        // A bound is reached by the nanosecond that it is rounded to, and a negative one by none.
        let nanos = buckets.bounds().iter().map(|bound| (bound * NANOS).round() as u64).collect();
        Self { cells: cells(&buckets), nanos: Some(nanos), buckets }
    }

    pub(crate) fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// Counts a number, which must be one.
    pub(crate) fn record(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        if self.nanos.is_some() {
            return self
                .record_duration(Duration::try_from_secs_f64(value).unwrap_or_default(), None);
        }
        let at = self.buckets.bounds().partition_point(|bound| *bound < value);
        if let Some(cell) = self.cells.get(at) {
            cell.count.fetch_add(1, Relaxed);
            add(&cell.sum, value);
        }
    }

    /// Counts a duration, as seconds.
    #[inline]
    pub(crate) fn record_duration(&self, took: Duration, seen: Option<Seen>) {
        let Some(bounds) = &self.nanos else { return self.record(took.as_secs_f64()) };
        let nanos = took.as_secs().saturating_mul(1_000_000_000);
        let nanos = nanos.saturating_add(took.subsec_nanos().into());
        // Most calls are quick, so the first bounds are the likely ones.
        let at = bounds.iter().position(|bound| nanos <= *bound).unwrap_or(bounds.len());
        let Some(cell) = self.cells.get(at) else { return };
        cell.count.fetch_add(1, Relaxed);
        cell.sum.fetch_add(nanos, Relaxed);
        if let Some(seen) = seen {
            cell.see(seen);
        }
    }

    /// What each bucket has counted, and the exemplars as of now.
    pub(crate) fn read(&self, clock: &Clock) -> Vec<Bucket> {
        self.cells
            .iter()
            .map(|cell| {
                let (count, sum) = (cell.count.load(Relaxed), cell.sum.load(Relaxed));
                let sum = match self.nanos {
                    Some(_) => sum as f64 / NANOS,
                    None => f64::from_bits(sum),
                };
                let seen = *cell.seen.lock().unwrap_or_else(PoisonError::into_inner);
                Bucket { count, sum, exemplar: seen.map(|seen| clock.exemplar(seen)) }
            })
            .collect()
    }
}

fn cells(buckets: &Buckets) -> Box<[Cell]> {
    (0..=buckets.bounds().len()).map(|_| Cell::default()).collect()
}

impl Cell {
    /// Keeps the newest. A call never waits for whoever reads it.
    fn see(&self, seen: Seen) {
        if let Ok(mut kept) = self.seen.try_lock() {
            *kept = Some(seen);
        }
    }
}

/// One moment on both clocks, to tell the time of what was seen before.
pub(crate) struct Clock {
    pub(crate) wall: std::time::SystemTime,
    pub(crate) instant: Instant,
}

impl Clock {
    pub(crate) fn now() -> Self {
        Self { wall: std::time::SystemTime::now(), instant: Instant::now() }
    }

    fn exemplar(&self, seen: Seen) -> Exemplar {
        let ago = self.instant.saturating_duration_since(seen.at);
        let at = self.wall.checked_sub(ago).unwrap_or(self.wall);
        Exemplar { trace: seen.trace, span: seen.span, value: seen.value, at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(histogram: &Histogram) -> Vec<(u64, f64)> {
        let read = histogram.read(&Clock::now());
        read.iter().map(|bucket| (bucket.count, bucket.sum)).collect()
    }

    #[test]
    fn a_value_belongs_to_the_first_bucket_whose_bound_it_does_not_exceed() {
        let buckets = Buckets::new([0.1, 1.0]).unwrap();
        let (numbers, durations) =
            (Histogram::numbers(buckets.clone()), Histogram::durations(buckets));
        for millis in [100, 101, 1000, 1001] {
            let took = Duration::from_millis(millis);
            numbers.record(took.as_secs_f64());
            durations.record_duration(took, None);
        }
        let expected = vec![(1, 0.1), (2, 1.101), (1, 1.001)];
        assert_eq!(counts(&numbers), expected);
        assert_eq!(counts(&durations), expected);
    }

    #[test]
    fn durations_add_up_to_the_nanosecond() {
        let durations = Histogram::durations(Buckets::default());
        for _ in 0..1_000_000 {
            durations.record_duration(Duration::from_nanos(1), None);
        }
        assert_eq!(counts(&durations)[0], (1_000_000, 0.001));
    }

    #[test]
    fn what_is_no_number_is_not_counted() {
        let numbers = Histogram::numbers(Buckets::default());
        numbers.record(f64::NAN);
        numbers.record(f64::INFINITY);
        numbers.record(-1.0);
        let counted = counts(&numbers);
        assert_eq!((counted[0], counted[14].0), ((1, -1.0), 1));
    }

    #[test]
    fn an_exemplar_is_told_with_the_time_at_which_it_was_seen() {
        let durations = Histogram::durations(Buckets::default());
        let clock = Clock::now();
        let ago = Duration::from_secs(5);
        let seen = Seen {
            trace: TraceId::new(1).unwrap(),
            span: SpanId::new(2).unwrap(),
            value: 0.007,
            at: clock.instant - ago,
        };
        durations.record_duration(Duration::from_millis(7), Some(seen));
        let read = durations.read(&clock);
        let exemplar = read[1].exemplar.unwrap();
        assert_eq!((exemplar.value, exemplar.at), (0.007, clock.wall - ago));
        assert!(read[0].exemplar.is_none());
    }
}
