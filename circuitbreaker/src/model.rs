//! The breaker against a model of it that is written for its reader and not for speed, over a
//! million operations and more.

use crate::{
    breaker::{Breaker, Ticket},
    config::{CircuitBreaker, Span},
    machine::{Ended, Outcome},
    state::{Forced, State},
    window::Tally,
};
use fastrand::Rng;
use purlin_endpoint::Backoff;
use std::time::Duration;
use tokio::time::Instant;

const PLACES: usize = 2;
const MILLISECOND: Duration = Duration::from_millis(1);

/// A result that is remembered: when, whether it failed, and whether it was slow.
type Result = (u128, bool, bool);

struct Model {
    config: CircuitBreaker,
    state: State,
    number: u64,
    /// When an open or half-open state is over.
    until: Instant,
    openings: u32,
    streak: u32,
    running: u32,
    results: Vec<Result>,
    /// When the first bucket of the window began, and the number of the newest.
    origin: Instant,
    newest: u128,
}

impl Model {
    fn new(config: CircuitBreaker, now: Instant) -> Self {
        Self {
            config,
            state: State::Closed,
            number: 0,
            until: now,
            openings: 0,
            streak: 0,
            running: 0,
            results: Vec::new(),
            origin: now,
            newest: 0,
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.number += 1;
        (self.streak, self.running) = (0, 0);
        self.results.clear();
        if state == State::Closed {
            self.openings = 0;
        }
    }

    fn open(&mut self, now: Instant, draw: f64) {
        self.until = now + self.config.open_for.wait(self.openings, draw);
        let openings = self.openings + 1;
        self.enter(State::Open);
        self.openings = openings;
    }

    /// Drops what is too old, and tells what is left.
    fn tally(&mut self, now: Instant) -> Tally {
        match self.config.window {
            Span::Calls(most) if self.state != State::HalfOpen => {
                let old = self.results.len().saturating_sub(most as usize);
                self.results.drain(..old);
            }
            Span::Time(time) => {
                let bucket = (now - self.origin).as_nanos() / (time / 10).as_nanos();
                self.newest = self.newest.max(bucket);
                let newest = self.newest;
                if self.state != State::HalfOpen {
                    self.results.retain(|(bucket, ..)| bucket + 10 > newest);
                }
            }
            Span::Calls(_) => {}
        }
        let count = |which: fn(&Result) -> bool| self.results.iter().filter(|r| which(r)).count();
        let [calls, failed, slow] = [count(|_| true), count(|r| r.1), count(|r| r.2)];
        Tally { calls: calls as u32, failed: failed as u32, slow: slow as u32 }
    }

    fn is_bad(&self, tally: Tally, of: u32) -> bool {
        let rate = |part: u32| f64::from(part) / f64::from(of);
        let failing = self.config.failure_rate.is_some_and(|most| rate(tally.failed) >= most);
        let slow = self.config.slow_call.is_some_and(|slow| rate(tally.slow) >= slow.rate);
        failing || slow
    }

    fn admit(&mut self, now: Instant, draw: f64) -> std::result::Result<(), Duration> {
        let first_wait = self.config.first_wait();
        if self.state == State::Open && now >= self.until {
            self.enter(State::HalfOpen);
            self.until = now + self.config.half_open_limit;
        }
        if self.state == State::HalfOpen && now >= self.until {
            let tally = self.tally(now);
            let streak = self.config.consecutive_failures;
            let run = streak.is_some_and(|most| self.streak >= most.min(tally.calls));
            match (tally.calls, self.running) {
                (0, 0) => self.until = now + self.config.half_open_limit,
                (0, _) => self.open(now, draw),
                (of, _) if run || self.is_bad(tally, of) => self.open(now, draw),
                _ => self.enter(State::Closed),
            }
        }
        match self.state {
            State::Open => Err(self.until - now),
            State::ForcedOpen => Err(first_wait),
            State::HalfOpen => {
                let taken = self.running + self.tally(now).calls;
                if taken >= self.config.half_open_calls {
                    return Err((self.until - now).min(first_wait));
                }
                self.running += 1;
                Ok(())
            }
            State::Closed | State::ForcedClosed | State::Disabled => Ok(()),
        }
    }

    fn finish(&mut self, number: u64, ended: Ended, draw: f64) {
        if number != self.number || self.state == State::Disabled {
            return;
        }
        if self.state == State::HalfOpen {
            self.running -= 1;
        }
        if ended.outcome == Outcome::Ignored {
            return;
        }
        let failed = ended.outcome == Outcome::Failure;
        let slow = self.config.slow_call.is_some_and(|slow| ended.at - ended.started > slow.over);
        self.streak = if failed { self.streak + 1 } else { 0 };
        self.tally(ended.at);
        self.results.push((self.newest, failed, slow));
        let tally = self.tally(ended.at);
        let streak = self.config.consecutive_failures.unwrap_or(u32::MAX);
        match self.state {
            State::Closed => {
                let enough = tally.calls >= self.config.enough();
                if self.streak >= streak || enough && self.is_bad(tally, tally.calls) {
                    self.open(ended.at, draw);
                }
            }
            State::HalfOpen => {
                let of = self.config.enough_half_open().max(tally.calls);
                if self.streak >= streak.min(of) || self.is_bad(tally, of) {
                    self.open(ended.at, draw);
                } else if tally.calls == of {
                    self.enter(State::Closed);
                }
            }
            _ => {}
        }
    }

    fn force(&mut self, forced: Option<Forced>) {
        match forced {
            Some(Forced::Open) => self.enter(State::ForcedOpen),
            Some(Forced::Closed) => self.enter(State::ForcedClosed),
            Some(Forced::Disabled) => self.enter(State::Disabled),
            None if self.state as u8 >= 3 => self.enter(State::Closed),
            None => {}
        }
    }

    fn configure(&mut self, config: CircuitBreaker, now: Instant) {
        let both_calls =
            matches!((self.config.window, config.window), (Span::Calls(_), Span::Calls(_)));
        if config.window != self.config.window && !both_calls {
            (self.origin, self.newest) = (now, 0);
            if self.state != State::HalfOpen {
                self.results.clear();
            }
        }
        self.config = config;
        self.tally(now);
    }
}

fn config(random: &mut Rng) -> CircuitBreaker {
    let mut config = CircuitBreaker::new()
        .minimum_calls(random.u32(1..30))
        .half_open_calls(random.u32(1..8))
        .half_open_limit(MILLISECOND * random.u32(1..5_000))
        .open_for(Backoff::new(MILLISECOND * random.u32(1..3_000)))
        .failure_rate(f64::from(random.u32(1..=100)) / 100.0);
    config = match random.bool() {
        true => config.calls(random.u32(1..40)),
        false => config.time(MILLISECOND * random.u32(10..10_000)),
    };
    if random.bool() {
        config = config.slow_call(MILLISECOND * 50, f64::from(random.u32(1..=100)) / 100.0);
    }
    if random.bool() {
        config = config.consecutive_failures(random.u32(1..20));
        if random.bool() {
            config = config.failure_rate(None);
        }
    }
    config.check().unwrap();
    config
}

/// Does the same to both, and compares them.
struct Pair {
    breaker: Breaker,
    model: Model,
    now: Instant,
    /// Calls that are running, with the model's number as they were let in.
    calls: Vec<(Ticket, u64)>,
    /// How many of a hundred calls fail just now.
    failing: u32,
    /// One of so many steps is followed by a look.
    looks: u32,
    seen: [u32; 6],
}

impl Pair {
    fn new(random: &mut Rng) -> Self {
        let (config, now) = (config(random), Instant::now());
        let breaker = Breaker::new(config, None, PLACES, now);
        let model = Model::new(config, now);
        let looks = [1, 8, 400][random.usize(0..3)];
        Self { breaker, model, now, calls: Vec::new(), failing: 10, looks, seen: [0; 6] }
    }

    fn step(&mut self, random: &mut Rng) {
        let draw = random.f64();
        match random.u32(0..1000) {
            0..450 if self.calls.len() < 64 => self.admit(draw),
            0..920 if !self.calls.is_empty() => self.finish(random, draw),
            920..985 => self.now += MILLISECOND * random.u32(0..300),
            985..990 => self.now += MILLISECOND * random.u32(0..20_000),
            990..996 => self.failing = [0, 3, 30, 60, 100][random.usize(0..5)],
            996 => {
                let forced = [Forced::Open, Forced::Closed, Forced::Disabled][random.usize(0..3)];
                self.breaker.force(Some(forced));
                self.model.force(Some(forced));
            }
            997..999 => {
                self.breaker.force(None);
                self.model.force(None);
            }
            999 => {
                let config = config(random);
                self.breaker.configure(config, self.now);
                self.model.configure(config, self.now);
            }
            _ => {}
        }
        // A look brings in the successes that wait, so not each step is followed by one.
        if random.u32(0..self.looks) > 0 {
            return;
        }
        let (state, number, running, tally) = self.breaker.peek(self.now);
        let wanted = (self.model.state, self.model.number, self.model.running);
        assert_eq!((state, number, running), wanted);
        assert_eq!(tally, self.model.tally(self.now));
        assert!(state != State::HalfOpen || running <= self.calls.len() as u32);
        self.seen[state as usize] += 1;
    }

    fn admit(&mut self, draw: f64) {
        let wanted = self.model.admit(self.now, draw);
        let admitted = match self.breaker.pass() {
            Some(ticket) => Ok(ticket),
            None => self.breaker.ask(self.now, || draw).0,
        };
        match admitted {
            Ok(ticket) => {
                assert_eq!(wanted, Ok(()));
                self.calls.push((ticket, self.model.number));
            }
            Err(retry_after) => assert_eq!(wanted, Err(retry_after)),
        }
    }

    fn finish(&mut self, random: &mut Rng, draw: f64) {
        let (ticket, number) = self.calls.swap_remove(random.usize(0..self.calls.len()));
        let outcome = match random.u32(0..100) {
            0..20 => Outcome::Ignored,
            _ if random.u32(0..100) < self.failing => Outcome::Failure,
            _ => Outcome::Success,
        };
        // Results come from several threads, and not always in the order of their clocks.
        let at = self.now - (MILLISECOND * random.u32(0..20)).min(self.now - self.model.origin);
        let started = at - MILLISECOND * random.u32(0..100);
        let ended = Ended { outcome, started, at };
        self.breaker.finish(ticket, ended, random.usize(0..PLACES), || draw);
        self.model.finish(number, ended, draw);
    }
}

#[test]
fn it_does_what_its_model_does_in_a_million_operations() {
    let pairs = if std::env::var_os("PURLIN_SOAK").is_some() { 50_000 } else { 1_500 };
    let mut seen = [0; 6];
    for seed in 0..pairs {
        // A failure shows its seed.
        let _seed = ShowSeed(seed);
        let mut random = Rng::with_seed(seed);
        let mut pair = Pair::new(&mut random);
        (0..2_000).for_each(|_| pair.step(&mut random));
        seen.iter_mut().zip(pair.seen).for_each(|(sum, seen)| *sum += u64::from(seen));
    }
    // Each state was looked at often enough.
    assert!(seen.iter().all(|seen| *seen > pairs), "{seen:?}");
}

struct ShowSeed(u64);

impl Drop for ShowSeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}
