use purlin_endpoint::{Invalid, TraceId};
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Which calls are recorded.
///
/// A call that belongs to a trace is recorded if its caller's is, so that traces are whole. Of
/// those that begin a trace this share is, chosen by the trace's id as OpenTelemetry's
/// `TraceIdRatioBased` does, so that all processes with the same ratio choose the same.
///
/// ```
/// use purlin_tracing::Sampling;
///
/// let sampling = Sampling::ratio(0.1).at_most(20.0);
/// assert_ne!(sampling, Sampling::always());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub struct Sampling {
    pub(crate) ratio: f64,
    pub(crate) at_most: Option<f64>,
    pub(crate) parent: bool,
}

/// All calls, unless their caller's are not recorded.
impl Default for Sampling {
    fn default() -> Self {
        Self::always()
    }
}

impl Sampling {
    /// Records all calls, unless their caller's are not recorded.
    pub const fn always() -> Self {
        Self::ratio(1.0)
    }

    /// Records no calls but those whose caller's are.
    pub const fn never() -> Self {
        Self::ratio(0.0)
    }

    /// Records this share of the traces that begin here: 0 to 1.
    pub const fn ratio(ratio: f64) -> Self {
        Self { ratio, at_most: None, parent: true }
    }

    /// Begins no more than so many recorded traces in a second, and as many at once.
    #[must_use]
    pub const fn at_most(self, per_second: f64) -> Self {
        Self { at_most: Some(per_second), ..self }
    }

    /// Decides about all calls here, whatever was decided about their caller's.
    #[must_use]
    pub const fn ignore_parent(self) -> Self {
        Self { parent: false, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        if !(0.0..=1.0).contains(&self.ratio) {
            return Err(Invalid { field: "ratio", why: "must be a number from 0 to 1" });
        }
        if self.at_most.is_some_and(|limit| !(limit > 0.0 && limit.is_finite())) {
            return Err(Invalid { field: "at_most", why: "must be a number above 0" });
        }
        Ok(())
    }

    /// Below this a trace's lower 63 bits are recorded.
    fn threshold(&self) -> u64 {
        (self.ratio * (1_u64 << 63) as f64) as u64
    }

    /// Nanoseconds between two traces at the highest rate; zero where there is none.
    fn interval(&self) -> u64 {
        self.at_most.map_or(0, |limit| (1e9 / limit).max(1.0) as u64)
    }
}

/// Decides, by what is configured just now, without a lock.
#[derive(Debug)]
pub(crate) struct Sampler {
    config: Mutex<Sampling>,
    threshold: AtomicU64,
    parent: AtomicBool,
    interval: AtomicU64,
    /// When the next trace would come at the highest rate, in nanoseconds of the tracer's time.
    next: AtomicU64,
}

const BURST: Duration = Duration::from_secs(1);

impl Sampler {
    pub(crate) fn new(sampling: Sampling) -> Self {
        Self {
            config: Mutex::new(sampling),
            threshold: AtomicU64::new(sampling.threshold()),
            parent: AtomicBool::new(sampling.parent),
            interval: AtomicU64::new(sampling.interval()),
            next: AtomicU64::new(0),
        }
    }

    pub(crate) fn config(&self) -> Sampling {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn update(&self, sampling: Sampling) {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        self.threshold.store(sampling.threshold(), Relaxed);
        self.parent.store(sampling.parent, Relaxed);
        self.interval.store(sampling.interval(), Relaxed);
        *config = sampling;
    }

    /// Whether a call is recorded, given what was decided about its caller's, if anything was.
    #[inline]
    pub(crate) fn decide(
        &self,
        trace: TraceId,
        parent: Option<bool>,
        now: impl FnOnce() -> Duration,
    ) -> bool {
        match parent {
            Some(sampled) if self.parent.load(Relaxed) => sampled,
            _ => self.chosen(trace) && self.admit(now),
        }
    }

    #[inline]
    fn chosen(&self, trace: TraceId) -> bool {
        (trace.get() as u64) >> 1 < self.threshold.load(Relaxed)
    }

    /// The generic cell rate algorithm, with a burst of one second.
    #[inline]
    fn admit(&self, now: impl FnOnce() -> Duration) -> bool {
        let interval = self.interval.load(Relaxed);
        if interval == 0 {
            return true;
        }
        let now = u64::try_from(now().as_nanos()).unwrap_or(u64::MAX);
        let burst = (BURST.as_nanos() as u64).max(interval);
        let next = |next: u64| {
            let next = next.max(now).saturating_add(interval);
            (next <= now.saturating_add(burst)).then_some(next)
        };
        self.next.fetch_update(Relaxed, Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(id: u128) -> TraceId {
        TraceId::new(id).unwrap()
    }

    #[test]
    fn a_ratio_chooses_as_opentelemetry_does() {
        // From the lower 64 bits without the last, whatever the upper ones are.
        let half = Sampler::new(Sampling::ratio(0.5));
        let upper = 0xffff_u128 << 64;
        assert!(half.chosen(trace(upper | 0x7fff_ffff_ffff_ffff)));
        assert!(!half.chosen(trace(upper | 0x8000_0000_0000_0000)));
        let all = Sampler::new(Sampling::always());
        assert!(all.chosen(trace(u128::MAX)));
        assert!(!Sampler::new(Sampling::never()).chosen(trace(1 << 64)));
    }

    #[test]
    fn what_a_small_ratio_chooses_a_larger_one_chooses_too() {
        let ratios = [0.001, 0.01, 0.1, 0.5, 0.9, 1.0].map(Sampling::ratio).map(Sampler::new);
        let mut draws = fastrand::Rng::with_seed(7);
        let mut chosen = [0; 6];
        for _ in 0..10_000 {
            let id = trace(draws.u128(1..));
            let choices: Vec<bool> = ratios.iter().map(|sampler| sampler.chosen(id)).collect();
            assert!(choices.is_sorted(), "{id}: {choices:?}");
            for (count, chosen) in chosen.iter_mut().zip(choices) {
                *count += i32::from(chosen);
            }
        }
        assert!((900..1100).contains(&chosen[2]) && chosen[5] == 10_000, "{chosen:?}");
    }

    #[test]
    fn no_window_begins_more_traces_than_the_limit_and_its_burst() {
        let sampler = Sampler::new(Sampling::always().at_most(10.0));
        let at = |millis| move || Duration::from_millis(millis);
        let admitted = |from: u64, to: u64| {
            (from..to).filter(|now| sampler.decide(trace(1), None, at(*now))).count()
        };
        assert_eq!(admitted(0, 100), 10);
        assert_eq!(admitted(100, 10_000), 99);
        let rare = Sampler::new(Sampling::always().at_most(0.1));
        assert!(rare.decide(trace(1), None, at(0)) && !rare.decide(trace(1), None, at(9_999)));
        assert!(rare.decide(trace(1), None, at(10_000)));
    }

    #[test]
    fn the_caller_decides_unless_it_is_ignored() {
        let now = || Duration::ZERO;
        let never = Sampler::new(Sampling::never());
        assert!(never.decide(trace(1), Some(true), now));
        never.update(Sampling::never().ignore_parent());
        assert!(!never.decide(trace(1), Some(true), now));
        never.update(Sampling::always());
        assert!(!never.decide(trace(1), Some(false), now));
        assert_eq!(never.config(), Sampling::always());
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for wrong in [f64::NAN, -0.1, 1.1] {
            assert_eq!(Sampling::ratio(wrong).check().unwrap_err().field, "ratio");
        }
        for wrong in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
            assert_eq!(Sampling::always().at_most(wrong).check().unwrap_err().field, "at_most");
        }
    }
}
