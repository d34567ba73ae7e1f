use crate::{Key, RateLimitLayer, state::State};
use purlin_endpoint::{Context, Invalid};
use std::{fmt, time::Duration};

/// How many calls are admitted, and how fast.
///
/// The rate is kept to a nanosecond between two calls: within 0.1 % up to a million a second, and
/// never above.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct RateLimit {
    /// How many calls are admitted each period in the long run. It may be a fraction.
    pub calls: f64,
    /// The period that the calls are counted in.
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    pub period: Duration,
    /// How many calls are admitted at once after a quiet time.
    pub burst: u32,
    /// How long a call may wait for its turn instead of being refused at once.
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    pub patience: Duration,
}

/// 100 calls a second, one at a time.
impl Default for RateLimit {
    fn default() -> Self {
        Self::per_second(100)
    }
}

impl RateLimit {
    /// Admits so many calls each second, evenly spread.
    pub fn per_second(calls: impl Into<f64>) -> Self {
        Self::new(calls, Duration::from_secs(1))
    }

    /// Admits so many calls each period, evenly spread.
    pub fn new(calls: impl Into<f64>, period: Duration) -> Self {
        Self { calls: calls.into(), period, burst: 1, patience: Duration::ZERO }
    }

    /// Lets this many calls in at once after a quiet time: 1 if nothing else is said.
    #[must_use]
    pub const fn burst(self, burst: u32) -> Self {
        Self { burst, ..self }
    }

    /// Lets a call wait up to this long for its turn, in the order of coming.
    ///
    /// It is refused at once if its turn comes later than that, or after its context's deadline. A
    /// waiting call keeps its place; when it is dropped, the place is free again unless another
    /// has come after it.
    #[must_use]
    pub const fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Gives each key a limit of its own.
    ///
    /// Calls for which there is no key share one limit.
    pub fn by<F>(self, key: F) -> PerKey
    where
        F: Fn(&Context) -> Option<Key<'_>> + Send + Sync + 'static,
    {
        PerKey { limit: self, key: Box::new(key), keys: 10_000 }
    }

    /// Builds the layer.
    ///
    /// # Errors
    ///
    /// What [`check`](Self::check) finds.
    pub fn layer(self) -> Result<RateLimitLayer, Invalid> {
        State::new(self, None).map(RateLimitLayer::new)
    }

    /// Finds the mistake in it.
    ///
    /// # Errors
    ///
    /// If `calls` is not a positive number, `period` or `burst` is zero, or an empty bucket would
    /// take a century or more to fill.
    pub fn check(&self) -> Result<(), Invalid> {
        if !(self.calls.is_finite() && self.calls > 0.0) {
            return Err(Invalid { field: "calls", why: "must be a positive number" });
        }
        if self.period.is_zero() {
            return Err(Invalid { field: "period", why: "must be more than zero" });
        }
        if self.burst == 0 {
            return Err(Invalid { field: "burst", why: "must be at least one" });
        }
        let between = self.period.as_secs_f64() / self.calls;
        if between >= CENTURY.as_secs_f64() {
            return Err(Invalid { field: "calls", why: "must be more than one in a century" });
        }
        if between * f64::from(self.burst) >= CENTURY.as_secs_f64() {
            return Err(Invalid { field: "burst", why: "must take less than a century to fill" });
        }
        Ok(())
    }
}

/// What is longer than this would not fit into what a bucket reckons with.
pub(crate) const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Finds the key of a call.
pub(crate) type FindKey = Box<dyn Fn(&Context) -> Option<Key<'_>> + Send + Sync>;

/// A limit for each key, made by [`RateLimit::by`].
pub struct PerKey {
    limit: RateLimit,
    key: FindKey,
    keys: usize,
}

impl PerKey {
    /// How many keys have a limit of their own at a time: 10,000 if nothing else is said.
    ///
    /// A key whose bucket is full is forgotten when others come, which changes nothing for it. If
    /// there is still no room, a new key shares one limit with the others that found none, and with
    /// the calls that have no key.
    #[must_use]
    pub fn keys(self, keys: usize) -> Self {
        Self { keys, ..self }
    }

    /// Builds the layer.
    ///
    /// # Errors
    ///
    /// What [`RateLimit::check`] finds, and if `keys` is zero.
    pub fn layer(self) -> Result<RateLimitLayer, Invalid> {
        if self.keys == 0 {
            return Err(Invalid { field: "keys", why: "must be at least one" });
        }
        State::new(self.limit, Some((self.key, self.keys))).map(RateLimitLayer::new)
    }
}

impl fmt::Debug for PerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("PerKey");
        out.field("limit", &self.limit).field("keys", &self.keys).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_names_its_field() {
        let good = RateLimit::per_second(1);
        let second = Duration::from_secs(1);
        for (wrong, field) in [
            (RateLimit::per_second(0), "calls"),
            (RateLimit::per_second(-1), "calls"),
            (RateLimit::per_second(f64::NAN), "calls"),
            (RateLimit::per_second(f64::INFINITY), "calls"),
            (RateLimit::per_second(f64::MIN_POSITIVE), "calls"),
            (RateLimit::new(1, Duration::MAX), "calls"),
            (RateLimit::new(1, Duration::ZERO), "period"),
            (good.burst(0), "burst"),
            (RateLimit::new(1, 3600 * second).burst(u32::MAX), "burst"),
        ] {
            assert_eq!(wrong.check().unwrap_err().field, field, "{wrong:?}");
            assert_eq!(wrong.layer().unwrap_err().field, field, "{wrong:?}");
        }
        assert_eq!(good.by(|_| None).keys(0).layer().unwrap_err().field, "keys");
        assert_eq!(good.burst(0).by(|_| None).layer().unwrap_err().field, "burst");
        for fine in [
            RateLimit::per_second(10).burst(u32::MAX),
            good.patience(Duration::MAX),
            RateLimit::default(),
        ] {
            assert!(fine.layer().is_ok());
        }
    }
}
