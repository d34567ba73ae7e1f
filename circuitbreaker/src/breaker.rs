//! One breaker: a state machine that is told what time it is, behind a gate that needs no lock.
//!
//! The gate is one word: the state, and a number that grows with each change of it. A call that
//! finds the gate closed goes in with that word as its ticket. Everything else is asked of the core,
//! behind a lock that is held for a few additions. A result counts if the number on its ticket is
//! still the core's, so what began in an earlier state changes nothing in a later one.

use super::sync::{AtomicU64, Mutex};
use crate::{
    config::CircuitBreaker,
    state::{Forced, State},
    window::{Tally, Window},
};
use std::{
    sync::{
        PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
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
    pub(crate) took: Duration,
    pub(crate) at: Instant,
}

/// The right to make one call, to be given back with its result.
#[derive(Debug)]
#[must_use]
pub(crate) struct Ticket(u64);

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) to: State,
    pub(crate) number: u64,
}

/// A result, and the change of state that came with it.
type Changing<T> = (T, Option<Moved>);

#[derive(Debug)]
pub(crate) struct Breaker {
    gate: AtomicU64,
    core: Mutex<Core>,
    /// What is shown to others, so that they need not take the lock.
    shown: Shown,
}

#[derive(Debug, Default)]
struct Shown {
    calls: AtomicU32,
    failed: AtomicU32,
    slow: AtomicU32,
    probing: AtomicU32,
}

#[derive(Debug)]
struct Core {
    phase: Phase,
    /// Grows with each change of the phase.
    number: u64,
    /// How many calls have failed since the last that has not.
    streak: u32,
    /// How often it has opened since it was last closed.
    openings: u32,
    window: Window,
    /// When it was last asked, or told a result.
    used: Instant,
    config: CircuitBreaker,
}

#[derive(Debug)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen { until: Instant, running: u32, tally: Tally },
    Forced(Forced),
}

impl Shown {
    #[inline]
    fn set(&self, core: &Core) {
        let (running, tally) = match core.phase {
            Phase::HalfOpen { running, tally, .. } => (running, tally),
            _ => (0, core.window.last()),
        };
        self.calls.store(tally.calls, Ordering::Relaxed);
        self.failed.store(tally.failed, Ordering::Relaxed);
        self.slow.store(tally.slow, Ordering::Relaxed);
        self.probing.store(running, Ordering::Relaxed);
    }
}

/// A breaker that nobody has used for so long, and that isn't open, is no better than a new one.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

const STATE_BITS: u32 = 3;

fn state_of(word: u64) -> State {
    match word & ((1 << STATE_BITS) - 1) {
        0 => State::Closed,
        1 => State::Open,
        2 => State::HalfOpen,
        3 => State::ForcedOpen,
        4 => State::ForcedClosed,
        _ => State::Disabled,
    }
}

impl Ticket {
    fn number(&self) -> u64 {
        self.0 >> STATE_BITS
    }

    /// Whether such an outcome of the call changes nothing, and so need not be told.
    #[inline]
    fn is_idle(&self, outcome: Outcome) -> bool {
        match state_of(self.0) {
            State::Disabled => true,
            State::HalfOpen => false,
            _ => outcome == Outcome::Ignored,
        }
    }
}

impl Breaker {
    pub(crate) fn new(config: CircuitBreaker, forced: Option<Forced>, now: Instant) -> Self {
        let core = Core {
            phase: forced.map_or(Phase::Closed, Phase::Forced),
            number: 0,
            streak: 0,
            openings: 0,
            window: Window::new(config.window, now),
            used: now,
            config,
        };
        Self { gate: AtomicU64::new(core.word()), core: Mutex::new(core), shown: Shown::default() }
    }

    /// Lets a call in where that needs no decision.
    #[inline]
    pub(crate) fn pass(&self) -> Option<Ticket> {
        let word = self.gate.load(Ordering::Acquire);
        let decided =
            matches!(state_of(word), State::Closed | State::ForcedClosed | State::Disabled);
        decided.then_some(Ticket(word))
    }

    /// Lets a call in, or says how long it may take until one is.
    pub(crate) fn ask(
        &self,
        now: Instant,
        draw: impl FnOnce() -> f64,
    ) -> Changing<Result<Ticket, Duration>> {
        self.with(|core| core.ask(now, draw))
    }

    /// Takes the result of a call.
    #[inline]
    pub(crate) fn finish(
        &self,
        ticket: Ticket,
        ended: Ended,
        draw: impl FnOnce() -> f64,
    ) -> Option<Moved> {
        if ticket.is_idle(ended.outcome) {
            return None;
        }
        self.with(|core| core.finish(&ticket, ended, draw)).1
    }

    /// Holds it in a state, or with `None` lets it go: it is then closed, with an empty window.
    pub(crate) fn force(&self, forced: Option<Forced>) -> Option<Moved> {
        self.with(|core| core.force(forced)).1
    }

    /// Takes other settings, and stays in its state.
    pub(crate) fn configure(&self, config: CircuitBreaker, now: Instant) {
        self.with(|core| {
            core.window.resize(config.window, now);
            core.config = config;
        });
    }

    pub(crate) fn state(&self) -> State {
        state_of(self.gate.load(Ordering::Acquire))
    }

    /// What the window holds, or the results since it is half-open; as of the last result.
    pub(crate) fn tally(&self) -> Tally {
        let Shown { calls, failed, slow, .. } = &self.shown;
        let [calls, failed, slow] = [calls, failed, slow].map(|n| n.load(Ordering::Relaxed));
        Tally { calls, failed, slow }
    }

    /// How many calls are running that were let in half-open.
    pub(crate) fn probing(&self) -> u32 {
        self.shown.probing.load(Ordering::Relaxed)
    }

    /// Whether nothing is lost if a new one takes its place.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        self.with(|core| core.is_idle(now)).0
    }

    /// All that a test may want to compare.
    #[cfg(test)]
    pub(crate) fn peek(&self, now: Instant) -> (State, u64, u32, Tally) {
        self.with(|core| match core.phase {
            Phase::HalfOpen { running, tally, .. } => (core.state(), core.number, running, tally),
            _ => (core.state(), core.number, 0, core.window.tally(now)),
        })
        .0
    }

    #[inline]
    fn with<T>(&self, work: impl FnOnce(&mut Core) -> T) -> Changing<T> {
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let before = core.number;
        let done = work(&mut core);
        self.shown.set(&core);
        if core.number == before {
            return (done, None);
        }
        self.gate.store(core.word(), Ordering::Release);
        (done, Some(Moved { to: core.state(), number: core.number }))
    }
}

impl Core {
    fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
            Phase::Forced(Forced::Open) => State::ForcedOpen,
            Phase::Forced(Forced::Closed) => State::ForcedClosed,
            Phase::Forced(Forced::Disabled) => State::Disabled,
        }
    }

    fn word(&self) -> u64 {
        self.number << STATE_BITS | self.state() as u64
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

    fn ask(&mut self, now: Instant, draw: impl FnOnce() -> f64) -> Result<Ticket, Duration> {
        self.used = self.used.max(now);
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
        Ok(Ticket(self.word()))
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

    fn finish(&mut self, ticket: &Ticket, ended: Ended, draw: impl FnOnce() -> f64) {
        if ticket.number() != self.number {
            return;
        }
        let Ended { outcome, took, at } = ended;
        self.used = self.used.max(at);
        if let Phase::HalfOpen { running, .. } = &mut self.phase {
            *running -= 1;
        }
        if outcome == Outcome::Ignored {
            return;
        }
        let failed = outcome == Outcome::Failure;
        let slow = self.config.slow_call.is_some_and(|slow| took > slow.over);
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
    fn is_streak(&self, calls: u32) -> bool {
        self.config.consecutive_failures.is_some_and(|limit| self.streak >= limit.min(calls))
    }

    fn is_bad_rate(&self, tally: Tally, calls: u32) -> bool {
        let reaches = |part: u32, rate: Option<f64>| {
            part > 0 && rate.is_some_and(|rate| f64::from(part) / f64::from(calls) >= rate)
        };
        reaches(tally.failed, self.config.failure_rate)
            || reaches(tally.slow, self.config.slow_call.map(|slow| slow.rate))
    }

    fn force(&mut self, forced: Option<Forced>) {
        match (forced, &self.phase) {
            (Some(forced), _) => self.enter(Phase::Forced(forced)),
            (None, Phase::Forced(_)) => self.close(),
            (None, _) => {}
        }
    }

    fn is_idle(&mut self, now: Instant) -> bool {
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
