//! Who waits, and who is next: the most critical, then the oldest, or the newest under overload.

use crate::Shed;
use purlin_endpoint::Criticality;
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// Those who wait, by criticality and then by age.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    levels: [VecDeque<Waiter<T>>; 4],
    /// The name of the next who comes: names rise with time.
    next: u64,
    /// Since when there has always been somebody.
    since: Option<Instant>,
}

#[derive(Debug)]
pub(crate) struct Waiter<T> {
    name: u64,
    pub(crate) until: Until,
    /// How the waiter is told.
    pub(crate) ticket: T,
}

/// How long somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Until {
    pub(crate) at: Instant,
    /// What is said when that has come.
    pub(crate) shed: Shed,
}

impl Until {
    /// The patience's end or the deadline, whichever comes first.
    pub(crate) fn new(now: Instant, patience: Duration, deadline: Option<Instant>) -> Self {
        // A patience too long to be told ends with the deadline, or in a year.
        let patient = now.checked_add(patience).unwrap_or(now + Duration::from_secs(31_536_000));
        match deadline {
            Some(at) if at <= patient => Self { at, shed: Shed::Expired },
            _ => Self { at: patient, shed: Shed::Waited },
        }
    }
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self { levels: Default::default(), next: 0, since: None }
    }

    /// The criticality of whoever is next.
    pub(crate) fn next(&self) -> Option<Criticality> {
        LEVELS.into_iter().rev().find(|&level| !self.levels[level as usize].is_empty())
    }

    /// Adds somebody, and says by what name they can leave.
    pub(crate) fn push(
        &mut self,
        level: Criticality,
        until: Until,
        ticket: T,
        now: Instant,
    ) -> u64 {
        let name = self.next;
        self.next += 1;
        self.since.get_or_insert(now);
        self.levels[level as usize].push_back(Waiter { name, until, ticket });
        name
    }

    /// Takes who is next at this level.
    pub(crate) fn pop(
        &mut self,
        level: Criticality,
        standing: Duration,
        now: Instant,
    ) -> Option<Waiter<T>> {
        let newest = self.stands(standing, now);
        let waiters = &mut self.levels[level as usize];
        let waiter = if newest { waiters.pop_back() } else { waiters.pop_front() };
        self.note_empty();
        waiter
    }

    /// Takes the one who would be served last, if that one is less critical than this.
    pub(crate) fn displace(
        &mut self,
        by: Criticality,
        standing: Duration,
        now: Instant,
    ) -> Option<Waiter<T>> {
        let newest_first = self.stands(standing, now);
        let less = LEVELS.into_iter().take_while(|&level| level < by);
        let level = less.into_iter().find(|&level| !self.levels[level as usize].is_empty())?;
        let waiters = &mut self.levels[level as usize];
        if newest_first { waiters.pop_front() } else { waiters.pop_back() }
    }

    /// Takes out the one of this name, if still there.
    pub(crate) fn remove(&mut self, level: Criticality, name: u64) -> Option<Waiter<T>> {
        let waiters = &mut self.levels[level as usize];
        let index = waiters.binary_search_by_key(&name, |waiter| waiter.name).ok()?;
        let waiter = waiters.remove(index);
        self.note_empty();
        waiter
    }

    fn stands(&self, standing: Duration, now: Instant) -> bool {
        self.since.is_some_and(|since| now.saturating_duration_since(since) >= standing)
    }

    fn note_empty(&mut self) {
        if self.next().is_none() {
            self.since = None;
        }
    }
}

/// From the least critical to the most.
pub(crate) const LEVELS: [Criticality; 4] = [
    Criticality::Sheddable,
    Criticality::SheddablePlus,
    Criticality::Critical,
    Criticality::CriticalPlus,
];

#[cfg(test)]
mod tests {
    use super::*;
    use Criticality::{Critical, CriticalPlus, Sheddable, SheddablePlus};

    const STANDING: Duration = Duration::from_millis(100);

    fn queue(levels: &[Criticality], now: Instant) -> Queue<usize> {
        let mut queue = Queue::new();
        let until = Until { at: now + Duration::from_secs(1), shed: Shed::Waited };
        for (ticket, &level) in levels.iter().enumerate() {
            queue.push(level, until, ticket, now);
        }
        queue
    }

    fn served(queue: &mut Queue<usize>, now: Instant) -> Vec<usize> {
        std::iter::from_fn(|| Some(queue.pop(queue.next()?, STANDING, now)?.ticket)).collect()
    }

    #[test]
    fn a_short_queue_is_served_in_the_order_of_coming() {
        let now = Instant::now();
        assert_eq!(served(&mut queue(&[Critical; 3], now), now), [0, 1, 2]);
    }

    #[test]
    fn a_queue_that_stands_serves_the_newest_first() {
        let now = Instant::now();
        assert_eq!(served(&mut queue(&[Critical; 3], now), now + STANDING), [2, 1, 0]);
    }

    #[test]
    fn a_queue_that_was_empty_stands_no_more() {
        let now = Instant::now();
        let mut queue = queue(&[Critical], now);
        assert!(queue.remove(Critical, 0).is_some());
        let later = now + STANDING;
        let until = Until { at: later + STANDING, shed: Shed::Waited };
        queue.push(Critical, until, 1, later);
        queue.push(Critical, until, 2, later);
        assert_eq!(served(&mut queue, later + STANDING / 2), [1, 2]);
    }

    #[test]
    fn the_most_critical_is_served_first_in_any_order() {
        let now = Instant::now();
        let levels = [Sheddable, Critical, SheddablePlus, CriticalPlus, Critical];
        assert_eq!(served(&mut queue(&levels, now), now), [3, 1, 4, 2, 0]);
        assert_eq!(served(&mut queue(&levels, now), now + STANDING), [3, 4, 1, 2, 0]);
    }

    #[test]
    fn the_one_displaced_is_the_least_critical_who_would_be_served_last() {
        let now = Instant::now();
        let levels = [Sheddable, Sheddable, Critical];
        let displaced =
            |by, now| queue(&levels, now).displace(by, STANDING, now).map(|waiter| waiter.ticket);
        assert_eq!(displaced(Critical, now), Some(1));
        assert_eq!(displaced(Sheddable, now), None);
        let mut standing = queue(&levels, now);
        let later = now + STANDING;
        assert_eq!(standing.displace(CriticalPlus, STANDING, later).unwrap().ticket, 0);
    }

    #[test]
    fn somebody_who_left_is_not_served() {
        let now = Instant::now();
        let mut queue = queue(&[Critical; 3], now);
        assert!(queue.remove(Critical, 1).is_some());
        assert!(queue.remove(Critical, 1).is_none());
        assert_eq!(served(&mut queue, now), [0, 2]);
    }

    #[test]
    fn nobody_waits_beyond_the_deadline() {
        let (now, patience) = (Instant::now(), Duration::from_secs(1));
        let near = now + patience / 2;
        let until = |deadline| Until::new(now, patience, deadline);
        assert_eq!(until(Some(near)), Until { at: near, shed: Shed::Expired });
        let patient = Until { at: now + patience, shed: Shed::Waited };
        assert_eq!([until(None), until(Some(now + 2 * patience))], [patient; 2]);
        assert_eq!(Until::new(now, Duration::MAX, Some(near)).at, near);
    }
}
