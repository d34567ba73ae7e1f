use crate::Invalid;
use std::time::Duration;

/// How long to wait before the next of several tries: longer each time, and never in step.
///
/// The wait before retry *n* (from 0) is `min(initial × multiplier^n, longest)`, times a random
/// factor of 1 ± jitter. The defaults, 1 s, × 1.6, 120 s and ± 20 %, are those of gRPC's
/// [connection backoff](https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md).
///
/// ```
/// use purlin_endpoint::Backoff;
/// use std::time::Duration;
///
/// let backoff = Backoff::new(Duration::from_millis(100)).multiplier(2.0).jitter(0.5);
/// // The draw is a random number from 0 to 1, here the middle, where the factor is 1.
/// assert_eq!(backoff.wait(0, 0.5), Duration::from_millis(100));
/// assert_eq!(backoff.wait(3, 0.5), Duration::from_millis(800));
/// assert_eq!(backoff.wait(3, 0.0), Duration::from_millis(400));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub struct Backoff {
    #[cfg_attr(feature = "serde", serde(with = "crate::duration"))]
    initial: Duration,
    multiplier: f64,
    #[cfg_attr(feature = "serde", serde(with = "crate::duration"))]
    longest: Duration,
    jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_secs(1))
    }
}

impl Backoff {
    /// Waits this long before the first retry.
    pub const fn new(initial: Duration) -> Self {
        Self { initial, multiplier: 1.6, longest: Duration::from_secs(120), jitter: 0.2 }
    }

    /// Waits so many times longer before each further one: 1 or more.
    #[must_use]
    pub const fn multiplier(self, multiplier: f64) -> Self {
        Self { multiplier, ..self }
    }

    /// Never waits longer than this, jitter apart.
    #[must_use]
    pub const fn longest(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// Waits up to this share more or less, so that many who failed together don't come back
    /// together: 0 to 1.
    #[must_use]
    pub const fn jitter(self, jitter: f64) -> Self {
        Self { jitter, ..self }
    }

    /// Finds the mistake in it, for whoever takes it into a configuration.
    ///
    /// # Errors
    ///
    /// If a multiplier is below 1, a jitter is not within 0 to 1, or one of them is no number.
    pub fn check(&self) -> Result<(), Invalid> {
        if !(self.multiplier.is_finite() && self.multiplier >= 1.0) {
            return Err(Invalid { field: "multiplier", why: "must be a number of at least 1" });
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(Invalid { field: "jitter", why: "must be a number from 0 to 1" });
        }
        Ok(())
    }

    /// The wait before this retry, the first of which is number 0, given a random draw of 0 to 1.
    pub fn wait(&self, retry: u32, draw: f64) -> Duration {
        let longest = self.longest.as_secs_f64();
        // Beyond this many, any multiplier above 1 has long reached any longest wait.
        let grown = self.multiplier.powi(retry.min(4096) as i32) * self.initial.as_secs_f64();
        let factor = 1.0 + self.jitter * (2.0 * draw - 1.0);
        // What is no number comes of 0 × infinity: an initial wait of nothing stays nothing.
        let wait = if grown.is_nan() { 0.0 } else { grown.min(longest) * factor };
        Duration::try_from_secs_f64(wait).unwrap_or(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_grows_to_the_longest_and_no_further() {
        let backoff = Backoff::default();
        let seconds: Vec<f64> =
            [0, 1, 2, 10, 11, 1000, u32::MAX].map(|n| backoff.wait(n, 0.5).as_secs_f64()).into();
        assert_eq!(seconds[..3], [1.0, 1.6, 2.56]);
        assert!((109.0..110.0).contains(&seconds[3]));
        assert_eq!(seconds[4..], [120.0, 120.0, 120.0]);
    }

    #[test]
    fn a_jitter_moves_a_wait_by_its_share_either_way() {
        let backoff = Backoff::new(Duration::from_secs(10)).jitter(0.2);
        assert_eq!(backoff.wait(0, 0.0), Duration::from_secs(8));
        assert_eq!(backoff.wait(0, 1.0), Duration::from_secs(12));
    }

    #[test]
    fn extremes_neither_panic_nor_shrink() {
        let longest = Backoff::new(Duration::MAX).longest(Duration::MAX).jitter(1.0);
        assert_eq!(longest.wait(u32::MAX, 1.0), Duration::MAX);
        assert_eq!(Backoff::new(Duration::ZERO).wait(u32::MAX, 1.0), Duration::ZERO);
    }

    #[test]
    fn a_mistake_names_its_field() {
        let field = |backoff: Backoff| backoff.check().unwrap_err().field;
        assert_eq!(field(Backoff::default().multiplier(0.9)), "multiplier");
        assert_eq!(field(Backoff::default().multiplier(f64::NAN)), "multiplier");
        assert_eq!(field(Backoff::default().jitter(1.1)), "jitter");
        assert_eq!(field(Backoff::default().jitter(f64::NAN)), "jitter");
        assert_eq!(Backoff::default().check(), Ok(()));
    }
}
