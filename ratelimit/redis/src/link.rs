use purlin_endpoint::Backoff;
use std::{fmt, time::Duration};
use tokio::time::Instant;

/// Redis was found to be away, or back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// There was no answer, or none that makes sense, for this reason.
    Away(String),
    /// It answers again.
    Back,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(why) => write!(f, "the rate limiter's Redis is away: {why}"),
            Self::Back => f.write_str("the rate limiter's Redis is back"),
        }
    }
}

/// What is known about the way to Redis, over connections of type `C`.
#[derive(Debug)]
pub(crate) struct Link<C> {
    state: State<C>,
    /// Moves with the state, so that news about an earlier one is known to be old.
    epoch: u64,
}

#[derive(Debug)]
enum State<C> {
    Up(C),
    /// A call is connecting. If it has not by then, it is gone, and another one may.
    Connecting {
        until: Instant,
    },
    /// Has been told to be away. Whoever comes after the instant may try.
    Away {
        failures: u32,
        next: Instant,
    },
}

/// What a call does about Redis.
#[derive(Debug, PartialEq)]
pub(crate) enum Step<C> {
    /// Ask over this connection.
    Ask(C, u64),
    /// Connect and ask.
    Connect(u64),
    /// Wait until a call that is connecting has done so.
    Wait,
    /// Do without; there will be another attempt after this long.
    Without(Duration),
}

impl<C: Clone> Link<C> {
    /// A link that the first call connects.
    pub(crate) fn new(now: Instant) -> Self {
        Self { state: State::Connecting { until: now }, epoch: 0 }
    }

    pub(crate) fn step(&mut self, now: Instant, timeout: Duration, draw: f64) -> Step<C> {
        match &mut self.state {
            State::Up(connection) => return Step::Ask(connection.clone(), self.epoch),
            State::Connecting { until } if now < *until => return Step::Wait,
            State::Away { next, .. } if now < *next => return Step::Without(*next - now),
            State::Connecting { until } => *until = now + timeout,
            // This attempt may be dropped and never say how it ended.
            State::Away { failures, next } => *next = now + timeout + wait(*failures, draw),
        }
        self.epoch += 1;
        Step::Connect(self.epoch)
    }

    /// A connection was made, and there was an answer over it.
    pub(crate) fn up(&mut self, connection: C) -> Option<Change> {
        self.epoch += 1;
        let before = std::mem::replace(&mut self.state, State::Up(connection));
        matches!(before, State::Away { .. }).then_some(Change::Back)
    }

    /// The connection of this epoch broke: whoever comes next makes a new one.
    pub(crate) fn broken(&mut self, epoch: u64, now: Instant) {
        if self.epoch == epoch {
            self.epoch += 1;
            self.state = State::Connecting { until: now };
        }
    }

    /// The call that connects in this epoch is gone: whoever comes next takes over.
    pub(crate) fn abandoned(&mut self, epoch: u64, now: Instant) {
        if let State::Connecting { until } = &mut self.state
            && self.epoch == epoch
        {
            *until = now;
        }
    }

    /// What was begun in this epoch came to nothing, though it had all the time there is.
    pub(crate) fn failed(
        &mut self,
        epoch: u64,
        now: Instant,
        draw: f64,
        why: impl FnOnce() -> String,
    ) -> Option<Change> {
        if self.epoch != epoch {
            return None;
        }
        self.epoch += 1;
        let known = match self.state {
            State::Away { failures, .. } => Some(failures),
            _ => None,
        };
        let failures = known.map_or(0, |failures| failures.saturating_add(1));
        self.state = State::Away { failures, next: now + wait(failures, draw) };
        known.is_none().then(|| Change::Away(why()))
    }

    /// Whether Redis has been told to be away.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self.state, State::Away { .. })
    }
}

/// How long to leave Redis alone after so many failures beyond the first.
fn wait(failures: u32, draw: f64) -> Duration {
    let backoff = Backoff::new(Duration::from_millis(100)).longest(Duration::from_secs(2));
    backoff.wait(failures, draw)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(50);
    const MILLI: Duration = Duration::from_millis(1);

    fn failed(link: &mut Link<u8>, epoch: u64, now: Instant) -> Option<Change> {
        link.failed(epoch, now, 0.5, || "no answer".into())
    }

    #[test]
    fn one_call_connects_and_the_others_wait_for_it() {
        let now = Instant::now();
        let mut link = Link::new(now);
        assert_eq!(link.step(now, TIMEOUT, 0.5), Step::Connect(1));
        assert_eq!(link.step(now, TIMEOUT, 0.5), Step::Wait);
        assert_eq!(link.up('a'), None, "nobody was told that it was away");
        assert_eq!(link.step(now, TIMEOUT, 0.5), Step::Ask('a', 2));
    }

    #[test]
    fn when_the_call_that_connects_is_gone_another_one_does() {
        let now = Instant::now();
        let mut link = Link::<u8>::new(now);
        assert_eq!(link.step(now, TIMEOUT, 0.5), Step::Connect(1));
        assert_eq!(link.step(now + TIMEOUT - MILLI, TIMEOUT, 0.5), Step::Wait);
        assert_eq!(link.step(now + TIMEOUT, TIMEOUT, 0.5), Step::Connect(2));
        link.abandoned(1, now);
        assert_eq!(link.step(now + TIMEOUT, TIMEOUT, 0.5), Step::Wait);
        link.abandoned(2, now);
        assert_eq!(link.step(now + TIMEOUT, TIMEOUT, 0.5), Step::Connect(3));
    }

    #[test]
    fn what_is_away_is_told_once_tried_now_and_then_and_told_to_be_back() {
        let mut now = Instant::now();
        let mut link = Link::new(now);
        assert_eq!(link.step(now, TIMEOUT, 0.5), Step::Connect(1));
        assert_eq!(failed(&mut link, 1, now), Some(Change::Away("no answer".into())));
        let mut epoch = 2;
        for pause in [100, 160, 256, 409, 655, 1048, 1677, 2000, 2000] {
            let pause = Duration::from_millis(pause);
            now += pause - MILLI;
            assert!(matches!(link.step(now, TIMEOUT, 0.5), Step::Without(_)), "{pause:?}");
            now += 2 * MILLI;
            assert_eq!(link.step(now, TIMEOUT, 0.5), Step::Connect(epoch + 1));
            assert!(matches!(link.step(now, TIMEOUT, 0.5), Step::Without(_)));
            assert_eq!(failed(&mut link, epoch + 1, now), None);
            epoch += 2;
        }
        assert!(link.is_away());
        assert_eq!(link.up(1), Some(Change::Back));
        assert!(!link.is_away());
    }

    #[test]
    fn an_attempt_that_is_dropped_does_not_keep_others_from_trying() {
        let now = Instant::now();
        let mut link = Link::<u8>::new(now);
        link.step(now, TIMEOUT, 0.5);
        failed(&mut link, 1, now);
        assert_eq!(link.step(now + 100 * MILLI, TIMEOUT, 0.5), Step::Connect(3));
        assert_eq!(link.step(now + 250 * MILLI, TIMEOUT, 0.5), Step::Connect(4));
    }

    #[test]
    fn old_news_changes_nothing() {
        let now = Instant::now();
        let mut link = Link::new(now);
        link.step(now, TIMEOUT, 0.5);
        link.up('a');
        link.broken(2, now);
        assert_eq!(link.step(now, TIMEOUT, 0.5), Step::Connect(4));
        link.up('b');
        link.broken(2, now);
        assert_eq!(link.failed(2, now, 0.5, String::new), None);
        assert_eq!(link.step(now, TIMEOUT, 0.5), Step::Ask('b', 5));
    }
}
