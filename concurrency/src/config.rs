use crate::{ConcurrencyLayer, limiter::Limiter};
use purlin_endpoint::{Criticality, Invalid};
use std::{sync::Arc, time::Duration};

/// How many calls may be in flight at once, and what becomes of those that are too many.
///
/// The default adapts by [`AdaptiveLimit::gradient`] and lets nobody wait.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct ConcurrencyLimit {
    pub(crate) limit: Limit,
    pub(crate) queue: u32,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    pub(crate) patience: Duration,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    pub(crate) standing: Duration,
    pub(crate) reserve: f64,
}

impl ConcurrencyLimit {
    /// At most so many calls at once: a number, or an [`AdaptiveLimit`].
    pub fn new(limit: impl Into<Limit>) -> Self {
        Self {
            limit: limit.into(),
            queue: 0,
            patience: Duration::from_millis(100),
            standing: Duration::from_millis(100),
            reserve: 0.5,
        }
    }

    /// Lets so many calls wait for room: none by default.
    #[must_use]
    pub fn queue(self, queue: u32) -> Self {
        Self { queue, ..self }
    }

    /// The longest that a call waits: 100 ms by default. Its deadline may come first.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// How long the queue may go without being empty before the newest call goes first: 100 ms by
    /// default.
    ///
    /// A queue that stands is no burst but overload. The oldest in it are those whose callers have
    /// given up or soon will, so serving them first would serve all too late. This is the adaptive
    /// LIFO of [Fail at Scale](https://queue.acm.org/detail.cfm?id=2839461) (Maurer, 2015), with its
    /// interval; the standing queue is CoDel's (Nichols and Jacobson, 2012). Zero is always the
    /// newest first, and a day as good as never.
    #[must_use]
    pub fn standing(self, standing: Duration) -> Self {
        Self { standing, ..self }
    }

    /// The share of the limit that `SHEDDABLE` calls can't have: a half by default, from 0 to less
    /// than 1.
    ///
    /// `SHEDDABLE_PLUS` calls can't have half of that share. Such calls get in while fewer than
    /// what is left are in flight, of whatever criticality, and at least one always can.
    #[must_use]
    pub fn reserve(self, reserve: f64) -> Self {
        Self { reserve, ..self }
    }

    /// Builds the layer.
    ///
    /// # Errors
    ///
    /// If `limit` or the adaptive limit's `min` is zero, its `min`, `initial` and `max` aren't in
    /// this order, its `slow` is zero, `patience` is zero where there is a queue, or `reserve` is
    /// not from 0 to less than 1.
    pub fn layer(self) -> Result<ConcurrencyLayer, Invalid> {
        self.check()?;
        Ok(ConcurrencyLayer::new(Arc::new(Limiter::new(self))))
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        match self.limit {
            Limit::Fixed(0) => Err(Invalid { field: "limit", why: "must be at least one" })?,
            Limit::Fixed(_) => {}
            Limit::Adaptive(adaptive) => adaptive.check()?,
        }
        if self.queue > 0 && self.patience.is_zero() {
            return Err(Invalid { field: "patience", why: "must be more than zero with a queue" });
        }
        if !(0.0..1.0).contains(&self.reserve) {
            return Err(Invalid { field: "reserve", why: "must be from 0 to less than 1" });
        }
        Ok(())
    }

    /// With how many calls in flight, at least, a call of this criticality doesn't get in.
    pub(crate) fn share(&self, limit: u32, criticality: Criticality) -> u32 {
        let reserved = match criticality {
            Criticality::Sheddable => self.reserve,
            Criticality::SheddablePlus => self.reserve / 2.0,
            Criticality::Critical | Criticality::CriticalPlus => return limit,
        };
        ((f64::from(limit) * (1.0 - reserved)).round() as u32).max(1)
    }
}

impl Default for ConcurrencyLimit {
    fn default() -> Self {
        Self::new(AdaptiveLimit::default())
    }
}

/// A limit that is given, or one that finds itself.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Limit {
    /// This many calls: a bulkhead.
    Fixed(u32),
    /// As many as the service can serve without making them wait.
    Adaptive(AdaptiveLimit),
}

impl From<u32> for Limit {
    fn from(limit: u32) -> Self {
        Self::Fixed(limit)
    }
}

impl From<AdaptiveLimit> for Limit {
    fn from(adaptive: AdaptiveLimit) -> Self {
        Self::Adaptive(adaptive)
    }
}

/// A limit that finds itself by what it does to latency, or to failures.
///
/// It moves by one step in each window of at least 100 ms (Envoy's update interval) and ten calls
/// (Netflix's), and grows only while at least half of it is used. It starts at 20 and stays between
/// 20 and 200, as Netflix's
/// [concurrency-limits](https://github.com/Netflix/concurrency-limits) do.
///
/// A call counts by its time until it is answered, without its time in the queue. One that ends with
/// `DEADLINE_EXCEEDED`, `RESOURCE_EXHAUSTED` or `UNAVAILABLE`, is given up after its deadline, or is
/// [slow](Self::slow), counts as dropped. One with any other error, one that is cancelled, and a
/// stream that ends well don't count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct AdaptiveLimit {
    pub(crate) algorithm: Algorithm,
    pub(crate) initial: u32,
    pub(crate) min: u32,
    pub(crate) max: u32,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    pub(crate) slow: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub(crate) enum Algorithm {
    Gradient,
    Aimd,
}

impl AdaptiveLimit {
    /// Shrinks when latency rises above what it is without load, before anybody times out.
    ///
    /// It is Netflix's Gradient2 with its constants: each step goes a fifth of the way to
    /// `limit · gradient + 4`, where the gradient is 1.5 times the long-term latency over that of
    /// the window, from 0.5 to 1. A window with a dropped call has the gradient 0.5.
    ///
    /// Gradient2 also learns the long-term latency (an average over 600 windows) while the limit
    /// itself makes calls wait, and so drifts to its maximum under lasting overload. Here it learns
    /// nothing from such windows. After ten seconds of them it looks anew, as BBR does for its
    /// round-trip time (Cardwell et al., 2016): the limit is lowered for two windows, to what would
    /// be in flight if nobody waited, and the latency of the second is the new long-term one.
    pub const fn gradient() -> Self {
        Self {
            algorithm: Algorithm::Gradient,
            initial: 20,
            min: 20,
            max: 200,
            slow: Duration::from_secs(5),
        }
    }

    /// Grows by one call in a window without a dropped call, else shrinks by a tenth.
    ///
    /// This is additive increase and multiplicative decrease (Chiu and Jain, 1989) with Netflix's
    /// constants. It needs callers, or a [`slow`](Self::slow), that say what takes too long.
    pub const fn aimd() -> Self {
        Self { algorithm: Algorithm::Aimd, ..Self::gradient() }
    }

    /// The limit at the start.
    #[must_use]
    pub const fn initial(self, initial: u32) -> Self {
        Self { initial, ..self }
    }

    /// The least that the limit can become.
    #[must_use]
    pub const fn min(self, min: u32) -> Self {
        Self { min, ..self }
    }

    /// The most that the limit can become.
    #[must_use]
    pub const fn max(self, max: u32) -> Self {
        Self { max, ..self }
    }

    /// A call that takes longer than this counts as dropped: 5 s by default.
    #[must_use]
    pub const fn slow(self, slow: Duration) -> Self {
        Self { slow, ..self }
    }

    fn check(&self) -> Result<(), Invalid> {
        let invalid = |field, why| Err(Invalid { field, why });
        match self {
            Self { min: 0, .. } => invalid("min", "must be at least one"),
            Self { min, max, .. } if max < min => invalid("max", "must be at least min"),
            Self { initial, min, max, .. } if !(min..=max).contains(&initial) => {
                invalid("initial", "must be from min to max")
            }
            Self { slow: Duration::ZERO, .. } => invalid("slow", "must be more than zero"),
            _ => Ok(()),
        }
    }
}

impl Default for AdaptiveLimit {
    fn default() -> Self {
        Self::gradient()
    }
}
