use crate::window::Window;
use purlin_endpoint::Invalid;
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};
use tokio::time::Instant;

/// How many calls may be repeated: a share of all calls, or so many a second, whichever is more.
///
/// The share is that of the last ten seconds; the seconds are those in which there were calls. So a
/// server that fails for everybody is asked at most so much more than usual, and a client that
/// rarely calls may repeat its calls nevertheless. The defaults, a fifth and ten a second, are those of
/// [Finagle](https://twitter.github.io/finagle/docs/com/twitter/finagle/service/RetryBudget.html);
/// but there the two add up, and a quiet time leaves a stock that is spent at once in an outage.
///
/// ```
/// use purlin_retry::Budget;
///
/// let purse = Budget::ratio(0.1).floor(0).purse().unwrap();
/// # let now = tokio::time::Instant::now();
/// (0..20).for_each(|_| purse.deposit(now));
/// let granted = (0..20).filter_map(|_| purse.withdraw(now)).map(|grant| grant.spend()).count();
/// assert_eq!(granted, 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub struct Budget {
    ratio: f64,
    floor: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { ratio: 0.2, floor: 10 }
    }
}

impl Budget {
    /// Repeats at most this share of the calls: 0 to 1.
    pub fn ratio(ratio: f64) -> Self {
        Self { ratio, ..Self::default() }
    }

    /// Repeats this many calls in each second even if they are more than the share.
    #[must_use]
    pub const fn floor(self, floor: u32) -> Self {
        Self { floor, ..self }
    }

    /// Makes a purse that holds it, for several layers to [share](crate::Retry::layer_on).
    ///
    /// # Errors
    ///
    /// If the ratio is not a number from 0 to 1.
    pub fn purse(self) -> Result<Purse, Invalid> {
        self.check()?;
        Ok(Purse(Arc::new(State {
            origin: Instant::now(),
            ratio: AtomicU64::new(self.ratio.to_bits()),
            floor: AtomicU32::new(self.floor),
            calls: Window::default(),
            granted: Window::default(),
            granting: Mutex::new(()),
        })))
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        if (0.0..=1.0).contains(&self.ratio) {
            return Ok(());
        }
        Err(Invalid { field: "ratio", why: "must be a number from 0 to 1" })
    }
}

/// A [`Budget`] in use, in constant memory. Its clones are one purse.
///
/// A call pays in without a lock. A repetition takes one that no call waits for otherwise.
#[derive(Clone)]
pub struct Purse(Arc<State>);

struct State {
    origin: Instant,
    /// The bits of an `f64`.
    ratio: AtomicU64,
    floor: AtomicU32,
    calls: Window,
    granted: Window,
    granting: Mutex<()>,
}

impl Purse {
    /// Counts a call that comes at this instant.
    pub fn deposit(&self, now: Instant) {
        self.0.calls.add(self.second(now));
    }

    /// Counts a call, and says whether it might be repeated if it failed: mostly one comparison.
    #[inline]
    pub(crate) fn admit(&self, now: Instant) -> bool {
        let second = self.second(now);
        self.0.calls.add(second);
        let floor = u64::from(self.0.floor.load(Relaxed));
        self.0.granted.in_second(second) < floor || self.left(second) > 0
    }

    /// How many calls have paid in.
    pub fn calls(&self) -> u64 {
        self.0.calls.total()
    }

    /// Takes out one repetition, if there is one left at this instant.
    pub fn withdraw(&self, now: Instant) -> Option<Grant> {
        let second = self.second(now);
        // Two that look at the same time must not both get the last one.
        let _granting = self.0.granting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.left(second) == 0 {
            return None;
        }
        self.0.granted.add(second);
        Some(Grant { purse: self.clone(), second, spent: false })
    }

    /// How many repetitions are left at this instant.
    pub fn level(&self, now: Instant) -> u64 {
        self.left(self.second(now))
    }

    /// The budget that it holds.
    pub fn budget(&self) -> Budget {
        let ratio = f64::from_bits(self.0.ratio.load(Relaxed));
        Budget { ratio, floor: self.0.floor.load(Relaxed) }
    }

    /// Changes the budget, and forgets nothing of what was paid in and taken out.
    ///
    /// # Errors
    ///
    /// If the ratio is not a number from 0 to 1.
    pub fn update(&self, budget: Budget) -> Result<(), Invalid> {
        budget.check()?;
        self.0.ratio.store(budget.ratio.to_bits(), Relaxed);
        self.0.floor.store(budget.floor, Relaxed);
        Ok(())
    }

    fn left(&self, second: u64) -> u64 {
        let Budget { ratio, floor } = self.budget();
        let (calls, granted) = (self.0.calls.sum(second), self.0.granted.sum(second));
        // A hair more, for shares such as 0.29 of 100 calls, which floating points make 28.99….
        let share = (calls as f64 * ratio + 1e-6) as u64;
        let floor = u64::from(floor);
        // The floor is not on top of the share: who has had the share of busy seconds gets no more
        // because another second begins.
        let seconds = self.0.calls.busy(second);
        let now = floor.saturating_sub(self.0.granted.in_second(second));
        let floor = (floor * seconds).saturating_sub(granted).min(now);
        share.saturating_sub(granted).max(floor)
    }

    #[inline]
    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.0.origin).as_secs()
    }
}

impl fmt::Debug for Purse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Purse").field(&self.budget()).finish()
    }
}

/// One repetition, taken out of a [`Purse`]. Dropped before it is spent, it goes back.
#[derive(Debug)]
#[must_use = "a grant that is dropped goes back into its purse"]
pub struct Grant {
    purse: Purse,
    second: u64,
    spent: bool,
}

impl Grant {
    /// Spends it: the repetition is made.
    pub fn spend(mut self) {
        self.spent = true;
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if !self.spent {
            self.purse.0.granted.take_back(self.second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    /// Calls at an even rate, all of which fail and want to be repeated: how many were granted.
    fn granted(purse: &Purse, from: Instant, rate: u32, seconds: u32) -> u32 {
        let mut granted = 0;
        for call in 0..rate * seconds {
            let now = from + SECOND * call / rate;
            purse.deposit(now);
            if let Some(grant) = purse.withdraw(now) {
                grant.spend();
                granted += 1;
            }
        }
        granted
    }

    #[test]
    fn every_ratio_is_granted_within_one_percentage_point() {
        for percent in 1..=100 {
            let ratio = f64::from(percent) / 100.0;
            for rate in [20, 100, 1_000] {
                let purse = Budget::ratio(ratio).floor(0).purse().unwrap();
                let granted = granted(&purse, Instant::now(), rate, 40);
                let error = f64::from(granted) / f64::from(rate * 40) - ratio;
                assert!(error.abs() <= 0.01, "{ratio} at {rate}/s is off by {error}");
            }
        }
    }

    #[test]
    fn a_total_failure_is_amplified_by_a_fifth_at_most_from_the_first_second_on() {
        for rate in [100, 137, 1_000] {
            for seconds in [1, 2, 5, 9, 10, 11, 60] {
                let purse = Budget::default().purse().unwrap();
                let granted = granted(&purse, Instant::now(), rate, seconds);
                let amplification = 1.0 + f64::from(granted) / f64::from(rate * seconds);
                assert!(amplification <= 1.2, "{rate}/s for {seconds} s: {amplification}");
                assert!(amplification >= 1.19, "{rate}/s for {seconds} s: {amplification}");
            }
        }
    }

    #[test]
    fn a_share_that_several_calls_repeat_at_once_is_still_a_share() {
        let (purse, start) = (Budget::default().purse().unwrap(), Instant::now());
        let mut granted = 0;
        for call in 0..10_000_u32 {
            let now = start + SECOND * call / 500;
            purse.deposit(now);
            for grant in (0..4).map_while(|_| purse.withdraw(now)) {
                grant.spend();
                granted += 1;
            }
        }
        assert!((1_980..=2_010).contains(&granted), "{granted}");
    }

    #[test]
    fn the_floor_is_for_those_who_rarely_call() {
        let (purse, now) = (Budget::ratio(0.0).floor(3).purse().unwrap(), Instant::now());
        for second in 0..30 {
            let now = now + second * SECOND;
            purse.deposit(now);
            let granted = (0..10).filter_map(|_| purse.withdraw(now)).map(Grant::spend).count();
            assert_eq!(granted, 3, "in second {second}");
        }
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let (purse, now) = (Budget::ratio(0.5).floor(0).purse().unwrap(), Instant::now());
        (0..10).for_each(|_| purse.deposit(now));
        assert_eq!(purse.level(now + 9 * SECOND), 5);
        assert_eq!(purse.level(now + 11 * SECOND), 0);
        assert!(!purse.admit(now + 11 * SECOND));
        assert!(purse.admit(now + 11 * SECOND));
        assert_eq!(purse.calls(), 12);
    }

    #[test]
    fn a_grant_that_is_not_spent_goes_back() {
        let (purse, now) = (Budget::ratio(0.0).floor(1).purse().unwrap(), Instant::now());
        for _ in 0..100 {
            assert!(purse.withdraw(now).is_some());
        }
        purse.withdraw(now).unwrap().spend();
        assert!(purse.withdraw(now).is_none());
        // One that goes back late changes nothing of what has begun since.
        let (late, later) = (purse.withdraw(now + SECOND), now + 11 * SECOND);
        purse.withdraw(later).unwrap().spend();
        drop(late);
        assert!(purse.withdraw(later).is_none());
    }

    #[test]
    fn threads_that_share_a_purse_get_no_more_out_of_it() {
        let (purse, now) = (Budget::ratio(0.25).floor(0).purse().unwrap(), Instant::now());
        let granted: usize = std::thread::scope(|scope| {
            let work = || {
                let one = |_: &u32| {
                    purse.deposit(now);
                    purse.withdraw(now).map(Grant::spend).is_some()
                };
                (0..10_000).filter(one).count()
            };
            let threads = [scope.spawn(work), scope.spawn(work), scope.spawn(work)];
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });
        assert_eq!(granted, 7_500);
    }

    #[test]
    fn a_budget_changes_and_its_state_stays() {
        let (purse, now) = (Budget::ratio(1.0).floor(0).purse().unwrap(), Instant::now());
        (0..10).for_each(|_| purse.deposit(now));
        purse.withdraw(now).unwrap().spend();
        assert_eq!(purse.level(now), 9);
        purse.update(Budget::ratio(0.5).floor(0)).unwrap();
        assert_eq!((purse.level(now), purse.budget()), (4, Budget::ratio(0.5).floor(0)));
        for wrong in [f64::NAN, -0.1, 1.01] {
            assert_eq!(purse.update(Budget::ratio(wrong)).unwrap_err().field, "ratio");
            assert_eq!(Budget::ratio(wrong).purse().unwrap_err().field, "ratio");
        }
    }
}
