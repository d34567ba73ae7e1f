//! One breaker: its state machine behind a lock, and a gate in front that needs none.
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
    machine::{Core, Ended, Outcome},
    state::{Forced, State},
    window::Tally,
};
use std::{
    cmp,
    sync::{
        PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

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

impl Shown {
    #[inline]
    fn set(&self, core: &Core) {
        let (running, tally, room) = core.shown();
        self.calls.store(tally.calls, Ordering::Relaxed);
        self.failed.store(tally.failed, Ordering::Relaxed);
        self.slow.store(tally.slow, Ordering::Relaxed);
        self.probing.store(running, Ordering::Relaxed);
        self.room.store(room, Ordering::Relaxed);
    }
}

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
        let core = Core::new(config, forced, now);
        let shown = Shown::default();
        shown.set(&core);
        Self {
            gate: AtomicU64::new(word(&core)),
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
        self.with(|core| core.ask(now, draw).map(|()| Ticket(word(core))))
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
        self.with(|core| core.finish(ticket.number(), ended, draw)).1
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
            core.configure(config, now);
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
        self.with(|core| {
            let (running, tally) = core.peek(now);
            (core.state(), core.number, running, tally)
        })
        .0
    }

    #[inline]
    fn with<T>(&self, work: impl FnOnce(&mut Core) -> T) -> Changing<T> {
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, gate) = (core.number, word(&core));
        self.collect(&mut core);
        let done = work(&mut core);
        self.shown.set(&core);
        if word(&core) != gate {
            self.gate.store(word(&core), Ordering::Release);
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

/// The gate of a core.
fn word(core: &Core) -> u64 {
    let may_wait = if core.may_wait() { MAY_WAIT } else { 0 };
    core.number << NUMBER | may_wait | core.state() as u64
}

/// How many successes wait, if they belong to the state of this number.
#[inline]
fn count_of(word: u64, number: u64) -> u64 {
    if word >> WAITING_NUMBER == number { word & WAITING_COUNT } else { 0 }
}
