use crate::CircuitBreakerLayer;
use purlin_endpoint::{Backoff, Invalid};
use std::time::Duration;

/// When a breaker opens, for how long, and what closes it again.
///
/// A breaker opens when any one of its conditions is met: a [rate of failures](Self::failure_rate),
/// a [rate of slow calls](Self::slow_call), a [run of failures](Self::consecutive_failures).
///
/// The defaults are those of resilience4j but for three, where a service wants to be back sooner:
/// the rate is judged from the 20th call on and not from the 100th, a breaker is open for 5 s at
/// first and not for 60 s (growing by 1.6 each time in a row, to 60 s, ± 20 %), and it is half-open
/// for at most 30 s and not for ever.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub struct CircuitBreaker {
    pub(crate) window: Span,
    pub(crate) failure_rate: Option<f64>,
    pub(crate) slow_call: Option<SlowCall>,
    pub(crate) consecutive_failures: Option<u32>,
    pub(crate) minimum_calls: u32,
    pub(crate) half_open_calls: u32,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    pub(crate) half_open_limit: Duration,
    pub(crate) open_for: Backoff,
}

/// How far back a window reaches.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub(crate) enum Span {
    Calls(u32),
    Time(#[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))] Duration),
}

#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct SlowCall {
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    pub(crate) over: Duration,
    pub(crate) rate: f64,
}

/// A window of calls has a byte for each.
const MOST_CALLS: u32 = 1_000_000;

/// A window of time has ten buckets, each of which is a millisecond or longer; and the calls of an
/// hour can be counted in 32 bits.
const TIMES: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(3600)];

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::new()
    }
}

impl CircuitBreaker {
    /// Opens when half of the last 100 calls have failed, of 20 at least.
    pub const fn new() -> Self {
        Self {
            window: Span::Calls(100),
            failure_rate: Some(0.5),
            slow_call: None,
            consecutive_failures: None,
            minimum_calls: 20,
            half_open_calls: 10,
            half_open_limit: Duration::from_secs(30),
            open_for: Backoff::new(Duration::from_secs(5)).longest(Duration::from_secs(60)),
        }
    }

    /// Judges rates by the last so many calls: up to a million, with one byte for each.
    #[must_use]
    pub const fn calls(self, calls: u32) -> Self {
        Self { window: Span::Calls(calls), ..self }
    }

    /// Judges rates by the calls that ended within so long: 10 ms to 1 h, in ten buckets.
    ///
    /// The oldest tenth is let go at once, so that the window is between nine tenths of this and
    /// the whole.
    #[must_use]
    pub const fn time(self, time: Duration) -> Self {
        Self { window: Span::Time(time), ..self }
    }

    /// Opens when this share of calls or more has failed: above 0, up to 1. `None` never does.
    #[must_use]
    pub fn failure_rate(self, rate: impl Into<Option<f64>>) -> Self {
        Self { failure_rate: rate.into(), ..self }
    }

    /// Opens when this share of calls or more took longer than that: above 0, up to 1.
    ///
    /// A call is timed from its start to its end, and one that is slow and fails counts as both. A
    /// stream is never slow: how long it goes on says nothing of its server.
    #[must_use]
    pub const fn slow_call(self, over: Duration, rate: f64) -> Self {
        Self { slow_call: Some(SlowCall { over, rate }), ..self }
    }

    /// Opens when so many calls in a row have failed, however few there were before.
    ///
    /// It is quick where calls are rare. Where there are thousands in a second, any rate of failures
    /// makes long runs by chance: with one call of ten, five in a row come every 100,000 calls.
    #[must_use]
    pub const fn consecutive_failures(self, calls: u32) -> Self {
        Self { consecutive_failures: Some(calls), ..self }
    }

    /// Judges no rate by fewer calls than this, or than the window holds.
    #[must_use]
    pub const fn minimum_calls(self, calls: u32) -> Self {
        Self { minimum_calls: calls, ..self }
    }

    /// Lets so many calls in when it is half-open, to see what becomes of them.
    ///
    /// It decides by as many results, or by the minimum number of calls if that is less; and opens
    /// as soon as the results that are missing could no longer change that.
    #[must_use]
    pub const fn half_open_calls(self, calls: u32) -> Self {
        Self { half_open_calls: calls, ..self }
    }

    /// Stays half-open for at most so long, as calls may be too rare or never end.
    ///
    /// It then decides by the results that it has. With none, it opens again if calls are still
    /// running, and lets others in if there are none.
    #[must_use]
    pub const fn half_open_limit(self, limit: Duration) -> Self {
        Self { half_open_limit: limit, ..self }
    }

    /// Stays open for so long: the first time, and longer each time that it opens again from
    /// half-open.
    #[must_use]
    pub const fn open_for(self, wait: Backoff) -> Self {
        Self { open_for: wait, ..self }
    }

    /// Builds the layer.
    ///
    /// # Errors
    ///
    /// If a number is zero or out of its range, or there is no condition at all.
    pub fn layer(self) -> Result<CircuitBreakerLayer, Invalid> {
        self.check()?;
        Ok(CircuitBreakerLayer::new(self))
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let invalid = |field, why| Err(Invalid { field, why });
        let zero = "must be at least one";
        match self.window {
            Span::Calls(0) => return invalid("calls", zero),
            Span::Calls(calls) if calls > MOST_CALLS => {
                return invalid("calls", "must be at most a million");
            }
            Span::Time(time) if !(TIMES[0]..=TIMES[1]).contains(&time) => {
                return invalid("time", "must be from 10 ms to 1 h");
            }
            _ => {}
        }
        let slow_rate = self.slow_call.map(|slow| slow.rate);
        for (field, rate) in [("failure_rate", self.failure_rate), ("slow_call", slow_rate)] {
            if rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1.0)) {
                return invalid(field, "must be a rate above 0, up to 1");
            }
        }
        if self.slow_call.is_some_and(|slow| slow.over.is_zero()) {
            return invalid("slow_call", "must be longer than zero");
        }
        for (field, calls) in [
            ("consecutive_failures", self.consecutive_failures.unwrap_or(1)),
            ("minimum_calls", self.minimum_calls),
            ("half_open_calls", self.half_open_calls),
        ] {
            if calls == 0 {
                return invalid(field, zero);
            }
        }
        if self.failure_rate.or(slow_rate).is_none() && self.consecutive_failures.is_none() {
            return invalid("failure_rate", "is the only condition left and must be given");
        }
        if self.half_open_limit.is_zero() {
            return invalid("half_open_limit", "must be more than zero");
        }
        if self.first_wait().is_zero() {
            return invalid("open_for", "must be more than zero");
        }
        self.open_for.check()
    }

    /// How many calls it takes to judge a rate.
    pub(crate) fn enough(&self) -> u32 {
        match self.window {
            Span::Calls(calls) => self.minimum_calls.min(calls),
            Span::Time(_) => self.minimum_calls,
        }
    }

    /// How many results decide when it is half-open.
    pub(crate) fn enough_half_open(&self) -> u32 {
        self.minimum_calls.min(self.half_open_calls)
    }

    /// How long it is open at first, jitter apart.
    pub(crate) fn first_wait(&self) -> Duration {
        self.open_for.wait(0, 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(config: CircuitBreaker) -> &'static str {
        config.layer().unwrap_err().field
    }

    #[test]
    fn the_defaults_make_a_layer() {
        assert!(CircuitBreaker::default().layer().is_ok());
    }

    #[test]
    fn a_mistake_names_its_field() {
        let config = CircuitBreaker::new();
        let second = Duration::from_secs(1);
        assert_eq!(field(config.calls(0)), "calls");
        assert_eq!(field(config.calls(1_000_001)), "calls");
        assert_eq!(field(config.time(Duration::ZERO)), "time");
        assert_eq!(field(config.time(Duration::MAX)), "time");
        for rate in [0.0, -0.5, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(field(config.failure_rate(rate)), "failure_rate");
            assert_eq!(field(config.slow_call(second, rate)), "slow_call");
        }
        assert_eq!(field(config.failure_rate(None)), "failure_rate");
        assert_eq!(field(config.slow_call(Duration::ZERO, 0.5)), "slow_call");
        assert_eq!(field(config.consecutive_failures(0)), "consecutive_failures");
        assert_eq!(field(config.minimum_calls(0)), "minimum_calls");
        assert_eq!(field(config.half_open_calls(0)), "half_open_calls");
        assert_eq!(field(config.half_open_limit(Duration::ZERO)), "half_open_limit");
        assert_eq!(field(config.open_for(Backoff::new(Duration::ZERO))), "open_for");
        assert_eq!(field(config.open_for(Backoff::default().jitter(2.0))), "jitter");
    }
}
