//! When to ask again, and from where: decisions that need neither Consul nor a runtime.

use std::time::Duration;
use tokio::time::Instant;

/// Where a blocking query goes on from. From 0 it does not wait.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Index(pub(crate) u64);

impl Index {
    /// Given what the answer says.
    pub(crate) fn after(self, told: Option<u64>) -> Self {
        match told {
            // Some versions have said 0, from which the next query would not wait; 1 is always
            // safe.
            None | Some(0) => Self(1),
            // The servers have been restored or wiped, so they count anew.
            Some(told) if told < self.0 => Self(0),
            Some(told) => Self(told),
        }
    }
}

const EVERY: Duration = Duration::from_secs(1);

/// A bucket of two tokens, one of which comes back each second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// When the bucket will be full.
    full: Option<Instant>,
}

impl Pace {
    /// Takes a token, and says when it is there.
    pub(crate) fn take(&mut self, now: Instant) -> Instant {
        let full = self.full.map_or(now, |full| full.max(now)) + EVERY;
        self.full = Some(full);
        (full - 2 * EVERY).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cs_6_an_index_that_goes_backwards_is_forgotten() {
        let index = Index::default().after(Some(100));
        assert_eq!(index, Index(100));
        assert_eq!(index.after(Some(99)), Index(0));
        assert_eq!(index.after(Some(99)).after(Some(99)), Index(99));
    }

    #[test]
    fn an_index_of_0_or_none_waits_from_1() {
        assert_eq!(Index(100).after(Some(0)), Index(1));
        assert_eq!(Index(100).after(None), Index(1));
        assert_eq!(Index(1).after(Some(7)), Index(7));
    }

    #[test]
    fn two_queries_go_at_once_and_then_one_a_second() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let taken: Vec<_> = (0..5).map(|_| pace.take(now) - now).collect();
        assert_eq!(taken, [0, 0, 1, 2, 3].map(Duration::from_secs));
        let later = now + 10 * EVERY;
        assert_eq!([pace.take(later), pace.take(later)], [later; 2]);
        assert_eq!(pace.take(later), later + EVERY);
    }
}
