//! One breaker: a state machine that is told what time it is, behind a gate that needs no lock.
//!
//! The gate is one word: the state, and a number that grows with each change of it. A call that
//! finds the gate closed goes in with that word as its ticket. Everything else is asked of the core,
//! behind a lock that is held for a few additions. A result counts if the number on its ticket is
//! still the core's, so what began in an earlier state changes nothing in a later one.
//!
//! Successes need no lock either where they can't open a breaker: they are counted in one of
//! several words, far enough apart for as many processors not to wait for each other. Whoever takes
//! the lock adds them to the window first, so that each failure finds all successes before it, and
//! the window is the same as if each result had taken the lock.

use super::sync::{AtomicU64, Mutex};
use crate::{
    config::CircuitBreaker,
    state::{Forced, State},
    window::{CALL, Tally, Window},
};
use std::{
    cmp, mem,
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
    /// When it started; for a call that is never slow, when it ended.
    pub(crate) started: Instant,
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
    /// From how many nanoseconds on a call is slow.
    over: AtomicU64,
    /// Successes that are not in the window yet: the number of their state, and how many they are.
    waiting: Box<[Apart<AtomicU64>]>,
    /// What is shown to others, so that they need not take the lock.
    shown: Shown,
    core: Mutex<Core>,
}

/// In lines of the cache that it has for itself, of which processors fetch two at a time.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Apart<T>(pub(crate) T);

#[derive(Debug, Default)]
struct Shown {
    calls: AtomicU32,
    failed: AtomicU32,
    slow: AtomicU32,
    probing: AtomicU32,
    /// How many calls the window has room for.
    room: AtomicU32,
}

#[derive(Debug)]
struct Core {
    /// Grows with each change of the phase.
    number: u64,
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
        self.room.store(core.window.room(), Ordering::Relaxed);
    }
}

/// A breaker that nobody has used for so long, and that isn't open, is no better than a new one.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// The gate's lower bits are the state, and whether successes may wait.
const NUMBER: u32 = 4;
const MAY_WAIT: u64 = 8;

/// How many successes wait in one place at most, and the bits to count them.
const WAITING: u64 = 64;
const WAITING_NUMBER: u32 = 8;
const WAITING_COUNT: u64 = (1 << WAITING_NUMBER) - 1;

fn state_of(word: u64) -> State {
    match word & (MAY_WAIT - 1) {
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
        self.0 >> NUMBER
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
    /// A breaker in which successes wait in so many places: some more than there are processors.
    pub(crate) fn new(
        config: CircuitBreaker,
        forced: Option<Forced>,
        places: usize,
        now: Instant,
    ) -> Self {
        let core = Core {
            number: 0,
            streak: 0,
            openings: 0,
            window: Window::new(config.window, now),
            used: now,
            succeeded: false,
            phase: forced.map_or(Phase::Closed, Phase::Forced),
            config,
        };
        let shown = Shown::default();
        shown.set(&core);
        Self {
            gate: AtomicU64::new(core.word()),
            over: AtomicU64::new(core.over()),
            waiting: (0..places).map(|_| Apart(AtomicU64::new(0))).collect(),
            shown,
            core: Mutex::new(core),
        }
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

    /// Takes the result of a call. Where it may wait, it waits in this place.
    #[inline]
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is good for one result")]
    pub(crate) fn finish(
        &self,
        ticket: Ticket,
        ended: Ended,
        place: usize,
        draw: impl FnOnce() -> f64,
    ) -> Option<Moved> {
        if ticket.is_idle(ended.outcome) || self.leave(&ticket, &ended, place) {
            return None;
        }
        self.with(|core| core.finish(&ticket, ended, draw)).1
    }

    /// Leaves a success where whoever next takes the lock will find it, if that is good enough.
    #[inline]
    fn leave(&self, ticket: &Ticket, ended: &Ended, place: usize) -> bool {
        let (gate, number) = (self.gate.load(Ordering::Acquire), ticket.number());
        if ended.outcome != Outcome::Success || gate & MAY_WAIT == 0 || gate >> NUMBER != number {
            return false;
        }
        let over = self.over.load(Ordering::Relaxed);
        if over != u64::MAX && ended.took().as_nanos() > over.into() {
            return false;
        }
        let Some(Apart(waiting)) = self.waiting.get(place) else { return false };
        let mut seen = waiting.load(Ordering::Relaxed);
        loop {
            let count = match (seen >> WAITING_NUMBER).cmp(&number) {
                // The state has changed just now, and this result does not count any more.
                cmp::Ordering::Greater => return true,
                cmp::Ordering::Equal => seen & WAITING_COUNT,
                cmp::Ordering::Less => 0,
            };
            if count == WAITING {
                return false;
            }
            let next = number << WAITING_NUMBER | (count + 1);
            let (done, not) = (Ordering::AcqRel, Ordering::Relaxed);
            match waiting.compare_exchange_weak(seen, next, done, not) {
                Ok(_) => return true,
                Err(other) => seen = other,
            }
        }
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
            self.over.store(core.over(), Ordering::Relaxed);
        });
    }

    pub(crate) fn state(&self) -> State {
        state_of(self.gate.load(Ordering::Acquire))
    }

    /// What the window holds, or the results since it is half-open.
    ///
    /// Failures that were pushed out of the window by successes that wait are still counted.
    pub(crate) fn tally(&self) -> Tally {
        let Shown { calls, failed, slow, room, .. } = &self.shown;
        let [calls, failed, slow, room] =
            [calls, failed, slow, room].map(|n| n.load(Ordering::Relaxed));
        let number = self.gate.load(Ordering::Acquire) >> NUMBER;
        let words = self.waiting.iter().map(|Apart(word)| word.load(Ordering::Relaxed));
        let waiting: u64 = words.map(|word| count_of(word, number)).sum();
        Tally { calls: calls.saturating_add(waiting as u32).min(room.max(calls)), failed, slow }
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
        let (number, gate) = (core.number, core.word());
        self.collect(&mut core);
        let done = work(&mut core);
        self.shown.set(&core);
        if core.word() != gate {
            self.gate.store(core.word(), Ordering::Release);
        }
        if core.number == number {
            return (done, None);
        }
        (done, Some(Moved { to: core.state(), number: core.number }))
    }

    /// Adds the successes that wait to the window.
    #[inline]
    fn collect(&self, core: &mut Core) {
        for Apart(waiting) in &self.waiting {
            if count_of(waiting.load(Ordering::Relaxed), core.number) > 0 {
                let none = core.number << WAITING_NUMBER;
                core.succeed(count_of(waiting.swap(none, Ordering::AcqRel), core.number));
            }
        }
    }
}

/// How many successes wait, if they belong to the state of this number.
#[inline]
fn count_of(word: u64, number: u64) -> u64 {
    if word >> WAITING_NUMBER == number { word & WAITING_COUNT } else { 0 }
}

impl Ended {
    fn took(&self) -> Duration {
        self.at.saturating_duration_since(self.started)
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
        let may_wait = if self.may_wait() { MAY_WAIT } else { 0 };
        self.number << NUMBER | may_wait | self.state() as u64
    }

    /// Whether a success may come to the window later, as it changes nothing but the window.
    ///
    /// Where rates are judged and are not bad, it makes none worse; and where there is nothing bad
    /// to judge, there is no rate.
    fn may_wait(&self) -> bool {
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
    fn over(&self) -> u64 {
        let over = self.config.slow_call.map(|slow| slow.over.as_nanos());
        over.and_then(|over| over.try_into().ok()).unwrap_or(u64::MAX)
    }

    /// Adds successes that have waited.
    fn succeed(&mut self, count: u64) {
        if let Window::Calls(ring) = &mut self.window {
            (0..count).for_each(|_| ring.put(CALL));
        }
        self.streak = 0;
        self.succeeded = true;
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

    #[inline]
    fn finish(&mut self, ticket: &Ticket, ended: Ended, draw: impl FnOnce() -> f64) {
        if ticket.number() != self.number {
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

    fn force(&mut self, forced: Option<Forced>) {
        match (forced, &self.phase) {
            (Some(forced), _) => self.enter(Phase::Forced(forced)),
            (None, Phase::Forced(_)) => self.close(),
            (None, _) => {}
        }
    }

    fn is_idle(&mut self, now: Instant) -> bool {
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
