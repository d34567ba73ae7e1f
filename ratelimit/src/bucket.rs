use crate::{RateLimit, limit::CENTURY};
use std::{
    sync::atomic::{
        AtomicU64,
        Ordering::{AcqRel, Relaxed},
    },
    time::Duration,
};

/// A [`RateLimit`] as a bucket reckons with it, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// From one token to the next. It is rounded up, so that no rate is above what was asked for.
    pub(crate) interval: u64,
    /// How much earlier than evenly spread a call may come: that is the burst.
    pub(crate) slack: u64,
    /// How long a call may wait.
    pub(crate) patience: u64,
}

impl Terms {
    /// The terms of a limit that has been checked.
    pub(crate) fn of(limit: &RateLimit) -> Self {
        let interval = (limit.period.as_nanos() as f64 / limit.calls).ceil().max(1.0) as u64;
        Self {
            interval,
            slack: interval.saturating_mul(u64::from(limit.burst) - 1),
            patience: limit.patience.min(CENTURY).as_nanos() as u64,
        }
    }

    /// How far ahead of now calls under these terms can push a bucket.
    fn furthest(&self, now: u64) -> u64 {
        now.saturating_add(self.slack + self.interval + self.patience)
    }
}

/// A token bucket, remembered as the instant at which it will be full again.
///
/// This is the generic cell rate algorithm of ITU-T I.371 in its virtual scheduling form. Instants
/// are nanoseconds since any one beginning, and a fresh bucket is full.
///
/// What is remembered only moves forward, by one interval for each call that is admitted, and a
/// call is admitted when that is no more than the slack ahead of its own instant. So whatever
/// instants calls come with, in whatever order, those that are admitted within a window number no
/// more than the window and the slack have intervals, and one.
#[derive(Debug, Default)]
pub(crate) struct Bucket(AtomicU64);

/// A token that was taken from a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// How many nanoseconds it is until the token is there.
    pub(crate) wait: u64,
    before: u64,
    after: u64,
}

impl Bucket {
    /// Takes a token that comes within so many nanoseconds, or says after how many one would.
    #[inline]
    pub(crate) fn take(&self, terms: &Terms, now: u64, patience: u64) -> Result<Taken, u64> {
        let mut before = self.0.load(Relaxed);
        loop {
            let wait = before.saturating_sub(terms.slack).saturating_sub(now);
            if wait > patience {
                return Err(wait);
            }
            let after = before.max(now).saturating_add(terms.interval);
            match self.0.compare_exchange_weak(before, after, AcqRel, Relaxed) {
                Ok(_) => return Ok(Taken { wait, before, after }),
                Err(changed) => before = changed,
            }
        }
    }

    /// Gives a token back that was waited for, if none has been taken after it. Otherwise the
    /// others have been told when theirs come, and it is lost.
    pub(crate) fn give_back(&self, taken: Taken) {
        let _ = self.0.compare_exchange(taken.after, taken.before, Relaxed, Relaxed);
    }

    /// Goes over to other terms: what has been taken stays taken, up to all that there is.
    ///
    /// It writes even what stays the same: a call that takes a token later, under the old terms,
    /// is then sure to see what its caller has done before.
    pub(crate) fn change(&self, old: &Terms, new: &Terms, now: u64) {
        let changed = |full: u64| {
            let Some(ahead) = full.checked_sub(now) else { return Some(full) };
            let ahead = u128::from(ahead) * u128::from(new.interval) / u128::from(old.interval);
            let ahead = u64::try_from(ahead).unwrap_or(u64::MAX);
            Some(now.saturating_add(ahead).min(new.furthest(now)))
        };
        let _ = self.0.fetch_update(AcqRel, Relaxed, changed);
    }

    /// Forgets what no call under these terms can have taken.
    pub(crate) fn settle(&self, terms: &Terms, now: u64) {
        self.0.fetch_min(terms.furthest(now), AcqRel);
    }

    /// Whether it is full, and so no different from a fresh one.
    pub(crate) fn is_full(&self, now: u64) -> bool {
        self.0.load(Relaxed) <= now
    }

    /// How many tokens are in it.
    pub(crate) fn tokens(&self, terms: &Terms, now: u64) -> u64 {
        let ahead = self.0.load(Relaxed).saturating_sub(now);
        (terms.slack + terms.interval).saturating_sub(ahead) / terms.interval
    }
}

/// Nanoseconds, for as long as they fit: five centuries.
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

#[cfg(test)]
mod tests;
