//! The breaker as a state machine: it is told what time it is, and knows of no thread.

use crate::{
    config::CircuitBreaker,
    state::{Forced, State},
    window::{CALL, Tally, Window},
};
use std::{mem, time::Duration};
use tokio::time::Instant;

/// What the result of a call says about the one who served it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure,
    /// Nothing.
    Ignored,
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// When it started; for a call that is never slow, when it ended.
    pub(crate) started: Instant,
    pub(crate) at: Instant,
}

#[derive(Debug)]
pub(crate) struct Core {
    /// Grows with each change of the phase.
    pub(crate) number: u64,
    /// How many calls have failed since the last that has not.
    streak: u32,
    /// How often it has opened since it was last closed.
    openings: u32,
    window: Window,
    /// When it was last asked, or told a result.
    used: Instant,
    /// Whether successes have come since then that did not say when.
    succeeded: bool,
    phase: Phase,
    config: CircuitBreaker,
}

#[derive(Debug)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen { until: Instant, running: u32, tally: Tally },
    Forced(Forced),
}

/// A breaker that nobody has used for so long, and that isn't open, is no better than a new one.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

impl Ended {
    pub(crate) fn took(&self) -> Duration {
        self.at.saturating_duration_since(self.started)
    }
}

impl Core {
    pub(crate) fn new(config: CircuitBreaker, forced: Option<Forced>, now: Instant) -> Self {
        Self {
            number: 0,
            streak: 0,
            openings: 0,
            window: Window::new(config.window, now),
            used: now,
            succeeded: false,
            phase: forced.map_or(Phase::Closed, Phase::Forced),
            config,
        }
    }

    pub(crate) fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
            Phase::Forced(Forced::Open) => State::ForcedOpen,
            Phase::Forced(Forced::Closed) => State::ForcedClosed,
            Phase::Forced(Forced::Disabled) => State::Disabled,
        }
    }

    /// Whether a success may come to the window later, as it changes nothing but the window.
    ///
    /// Where rates are judged and are not bad, it makes none worse; and where there is nothing bad
    /// to judge, there is no rate.
    pub(crate) fn may_wait(&self) -> bool {
        let Window::Calls(ring) = &self.window else { return false };
        let Tally { calls, failed, slow } = ring.tally();
        match self.phase {
            Phase::Closed if (failed, slow) == (0, 0) => true,
            Phase::Closed => {
                calls >= self.config.enough() && !self.is_bad_rate(ring.tally(), calls)
            }
            Phase::Forced(Forced::Closed) => true,
            _ => false,
        }
    }

    /// From how many nanoseconds on a call is slow.
    pub(crate) fn over(&self) -> u64 {
        let over = self.config.slow_call.map(|slow| slow.over.as_nanos());
        over.and_then(|over| over.try_into().ok()).unwrap_or(u64::MAX)
    }

    /// Adds successes that have waited.
    pub(crate) fn succeed(&mut self, count: u64) {
        if let Window::Calls(ring) = &mut self.window {
            (0..count).for_each(|_| ring.put(CALL));
        }
        self.streak = 0;
        self.succeeded = true;
    }

    /// Takes other settings.
    pub(crate) fn configure(&mut self, config: CircuitBreaker, now: Instant) {
        self.window.resize(config.window, now);
        self.config = config;
    }

    /// How many calls are running that were let in half-open, what is counted, and for how many
    /// calls there is room.
    #[inline]
    pub(crate) fn shown(&self) -> (u32, Tally, u32) {
        match self.phase {
            Phase::HalfOpen { running, tally, .. } => (running, tally, u32::MAX),
            _ => (0, self.window.last(), self.window.room()),
        }
    }

    /// The same, as of now.
    #[cfg(test)]
    pub(crate) fn peek(&mut self, now: Instant) -> (u32, Tally) {
        self.window.tally(now);
        let (running, tally, _) = self.shown();
        (running, tally)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.number += 1;
        self.streak = 0;
        self.window.clear();
    }

    fn open(&mut self, now: Instant, draw: impl FnOnce() -> f64) {
        let wait = self.config.open_for.wait(self.openings, draw());
        self.openings = self.openings.saturating_add(1);
        self.enter(Phase::Open { until: after(now, wait) });
    }

    fn close(&mut self) {
        self.openings = 0;
        self.enter(Phase::Closed);
    }

    /// Lets a call in, or says how long it may take until one is.
    pub(crate) fn ask(&mut self, now: Instant, draw: impl FnOnce() -> f64) -> Result<(), Duration> {
        self.used = now;
        match self.phase {
            Phase::Open { until } if now >= until => {
                let until = after(now, self.config.half_open_limit);
                self.enter(Phase::HalfOpen { until, running: 0, tally: Tally::default() });
            }
            Phase::HalfOpen { until, running, tally } if now >= until => {
                self.stayed(running, tally, now, draw);
            }
            _ => {}
        }
        let first_wait = self.config.first_wait();
        match &mut self.phase {
            Phase::Open { until } => return Err(*until - now),
            Phase::Forced(Forced::Open) => return Err(first_wait),
            Phase::HalfOpen { until, running, tally } => {
                if *running + tally.calls >= self.config.half_open_calls {
                    return Err((*until - now).min(first_wait));
                }
                *running += 1;
            }
            Phase::Closed | Phase::Forced(_) => {}
        }
        Ok(())
    }

    /// It has been half-open for as long as it may be.
    fn stayed(&mut self, running: u32, tally: Tally, now: Instant, draw: impl FnOnce() -> f64) {
        match (tally.calls, running) {
            (0, 0) => {
                let until = after(now, self.config.half_open_limit);
                self.phase = Phase::HalfOpen { until, running, tally };
            }
            (0, _) => self.open(now, draw),
            (calls, _) if self.is_bad(tally, calls) => self.open(now, draw),
            _ => self.close(),
        }
    }

    /// Takes the result of a call that was let in when that was the number.
    #[inline]
    pub(crate) fn finish(&mut self, number: u64, ended: Ended, draw: impl FnOnce() -> f64) {
        if number != self.number {
            return;
        }
        let Ended { outcome, at, .. } = ended;
        self.used = at;
        if let Phase::HalfOpen { running, .. } = &mut self.phase {
            *running -= 1;
        }
        if outcome == Outcome::Ignored {
            return;
        }
        let failed = outcome == Outcome::Failure;
        let slow = self.config.slow_call.is_some_and(|slow| ended.took() > slow.over);
        self.streak = if failed { self.streak.saturating_add(1) } else { 0 };
        match &mut self.phase {
            Phase::Closed => {
                let tally = self.window.add(failed, slow, at);
                let enough = tally.calls >= self.config.enough();
                if self.is_streak(u32::MAX) || enough && self.is_bad_rate(tally, tally.calls) {
                    self.open(at, draw);
                }
            }
            Phase::HalfOpen { tally, .. } => {
                *tally += Tally::one(failed, slow);
                let (tally, enough) = (*tally, self.config.enough_half_open());
                // The results that are missing can only make the rates better than so.
                if self.is_bad(tally, enough.max(tally.calls)) {
                    self.open(at, draw);
                } else if tally.calls >= enough {
                    self.close();
                }
            }
            Phase::Forced(Forced::Closed) => {
                self.window.add(failed, slow, at);
            }
            Phase::Open { .. } | Phase::Forced(_) => {}
        }
    }

    /// Whether this among so many calls is too much.
    fn is_bad(&self, tally: Tally, calls: u32) -> bool {
        self.is_streak(calls) || self.is_bad_rate(tally, calls)
    }

    /// Whether as many as that have failed in a row, or so many if there can't be more.
    #[inline]
    fn is_streak(&self, calls: u32) -> bool {
        self.config.consecutive_failures.is_some_and(|limit| self.streak >= limit.min(calls))
    }

    #[inline]
    fn is_bad_rate(&self, tally: Tally, calls: u32) -> bool {
        let reaches = |part: u32, rate: Option<f64>| {
            part > 0 && rate.is_some_and(|rate| f64::from(part) / f64::from(calls) >= rate)
        };
        reaches(tally.failed, self.config.failure_rate)
            || reaches(tally.slow, self.config.slow_call.map(|slow| slow.rate))
    }

    pub(crate) fn force(&mut self, forced: Option<Forced>) {
        match (forced, &self.phase) {
            (Some(forced), _) => self.enter(Phase::Forced(forced)),
            (None, Phase::Forced(_)) => self.close(),
            (None, _) => {}
        }
    }

    pub(crate) fn is_idle(&mut self, now: Instant) -> bool {
        if mem::take(&mut self.succeeded) {
            self.used = now;
        }
        let unused = now.saturating_duration_since(self.used) >= FORGOTTEN_AFTER;
        match self.phase {
            Phase::Closed => {
                let tally = self.window.tally(now);
                unused || (tally.failed, tally.slow) == (0, 0)
            }
            Phase::Open { until } => unused && now >= until,
            Phase::HalfOpen { .. } => unused,
            Phase::Forced(_) => false,
        }
    }
}

/// A time too far away to be told is as good as a century.
fn after(now: Instant, wait: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    now + wait.min(CENTURY)
}
