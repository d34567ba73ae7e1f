//! The decision after each attempt: again, when, or not at all.

use crate::{Failure, Retry};
use purlin_endpoint::{Attempts, Classify, Code};
use std::time::Duration;

/// What a failure says about another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    /// Another attempt may succeed.
    pub(crate) helps: bool,
    /// The request never reached a handler.
    pub(crate) unreached: bool,
    /// How long the failure asks to wait.
    pub(crate) delay: Option<Duration>,
    pub(crate) code: Code,
}

impl Advice {
    /// What this outcome says; `None` if it is a success.
    #[inline]
    pub(crate) fn of<C, Res, Err>(classify: &C, outcome: &Result<Res, Err>) -> Option<Self>
    where
        C: Classify<Res, Err>,
        Err: Failure,
    {
        let code = classify.classify(outcome).code;
        let unavailable = code == Code::Unavailable;
        let plain = Self { helps: unavailable, unreached: false, delay: None, code };
        let error = match outcome {
            Ok(_) if code == Code::Ok => return None,
            Ok(response) => {
                let delay = classify.delay(response);
                return Some(Self { helps: unavailable || delay.is_some(), delay, ..plain });
            }
            Err(error) => error.error(),
        };
        Some(error.map_or(plain, |error| Self {
            // What the failure itself says counts more than the classifier. One that a layer further
            // in has repeated already is not repeated once more.
            helps: error.retryability().unwrap_or(unavailable || error.is_retryable())
                && error.find::<Attempts>().is_none(),
            unreached: error.is_unreached(),
            delay: error.retry_delay(),
            code,
        }))
    }
}

/// Where a call stands: how many attempts were made, and how far its backoff has grown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    pub(crate) made: u32,
    grown: u32,
}

impl Course {
    /// One attempt was made.
    pub(crate) fn first() -> Self {
        Self { made: 1, grown: 0 }
    }

    /// How long to wait before the next attempt, given how long the call has left and a random draw
    /// of 0 to 1; `None` if there is to be none.
    pub(crate) fn next(
        &mut self,
        retry: &Retry,
        advice: Advice,
        idempotent: bool,
        left: Option<Duration>,
        draw: f64,
    ) -> Option<Duration> {
        let harmless = idempotent || advice.unreached;
        if !(advice.helps && harmless && self.made < retry.attempts) {
            return None;
        }
        let wait = match advice.delay {
            // The server knows better, to the letter; what comes after starts afresh.
            Some(delay) => {
                self.grown = 0;
                delay
            }
            None => {
                let wait = retry.backoff.wait(self.grown, draw);
                self.grown += 1;
                wait
            }
        };
        // An attempt that could only begin when the call is over would be for nothing.
        if left.is_some_and(|left| wait >= left) {
            return None;
        }
        self.made += 1;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_endpoint::{Backoff, ByCode, Error};

    const MS: Duration = Duration::from_millis(1);

    fn retry(attempts: u32) -> Retry {
        Retry::attempts(attempts).backoff(Backoff::new(100 * MS).multiplier(2.0).longest(300 * MS))
    }

    fn advice(error: Error) -> Advice {
        Advice::of(&ByCode, &Err::<(), Error>(error)).unwrap()
    }

    fn unavailable() -> Advice {
        advice(Error::of(Code::Unavailable))
    }

    #[test]
    fn waits_grow_to_the_longest_and_the_attempts_run_out() {
        let (retry, mut course) = (retry(5), Course::first());
        let mut next = || course.next(&retry, unavailable(), true, None, 0.5);
        let waits: Vec<_> = std::iter::from_fn(&mut next).collect();
        assert_eq!(waits, [100 * MS, 200 * MS, 300 * MS, 300 * MS]);
    }

    #[test]
    fn a_delay_is_taken_to_the_letter_and_the_backoff_restarts_after_it() {
        let (retry, mut course) = (retry(5), Course::first());
        let asks = advice(Error::of(Code::ResourceExhausted).retry_after(7 * MS));
        let waits = [unavailable(), unavailable(), asks, unavailable()]
            .map(|advice| course.next(&retry, advice, true, None, 0.0).unwrap());
        assert_eq!(waits, [80 * MS, 160 * MS, 7 * MS, 80 * MS]);
    }

    #[test]
    fn a_wait_that_outlasts_the_call_is_not_begun() {
        for (left, wait) in [(101, Some(100)), (100, None), (0, None)] {
            let mut course = Course::first();
            let next = course.next(&retry(3), unavailable(), true, Some(left * MS), 0.5);
            assert_eq!(next, wait.map(|wait| wait * MS));
        }
    }

    #[test]
    fn only_what_helps_and_does_no_harm_is_repeated() {
        let unreached = advice(Error::of(Code::Unavailable).unreached());
        let refused = advice(Error::of(Code::PermissionDenied));
        for (advice, idempotent, again) in [
            (unavailable(), true, true),
            (unavailable(), false, false),
            (unreached, false, true),
            (refused, true, false),
            (Advice { unreached: true, ..refused }, false, false),
        ] {
            let next = Course::first().next(&retry(3), advice, idempotent, None, 0.5);
            assert_eq!(next.is_some(), again, "{advice:?}, idempotent: {idempotent}");
        }
    }

    #[test]
    fn the_jitter_of_a_hundred_thousand_waits_is_even_within_a_fifth() {
        const DRAWS: usize = 100_000;
        let mut random = fastrand::Rng::with_seed(6);
        let config = Retry::attempts(5);
        let mut shares: Vec<f64> = (0..DRAWS)
            .map(|_| {
                let draw = random.f64();
                let wait = Course::first().next(&config, unavailable(), true, None, draw).unwrap();
                (wait.as_secs_f64() / 0.025 - 0.8) / 0.4
            })
            .collect();
        shares.sort_by(f64::total_cmp);
        assert!(shares[0] >= -1e-6 && shares[DRAWS - 1] <= 1.0 + 1e-6, "outside ±20 %");
        // Kolmogorov and Smirnov: the widest gap between what was drawn and an even distribution.
        let count = DRAWS as f64;
        let gap = |(index, share): (usize, &f64)| {
            let index = index as f64;
            (share - index / count).abs().max((share - (index + 1.0) / count).abs())
        };
        let widest = shares.iter().enumerate().map(gap).fold(0.0, f64::max);
        let lambda = (count.sqrt() + 0.12 + 0.11 / count.sqrt()) * widest;
        let term = |k: i32| {
            let sign = if k % 2 == 1 { 2.0 } else { -2.0 };
            sign * (-2.0 * f64::from(k * k) * lambda * lambda).exp()
        };
        let p: f64 = (1..=100).map(term).sum();
        assert!(p > 0.01, "p = {p}, with a gap of {widest}");
    }
}
