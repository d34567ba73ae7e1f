//! The breaker under loom, which tries all orders in which three threads can do what they do.

// The same source, with loom's lock and atomics in place of the standard library's.
#[allow(clippy::duplicate_mod, dead_code, reason = "it is compiled here to be modelled")]
#[path = "breaker.rs"]
mod breaker;

mod sync {
    pub(super) use loom::sync::{Mutex, atomic::AtomicU64};
}

use crate::{
    config::CircuitBreaker,
    machine::{Ended, Outcome},
    state::{Forced, State},
    window::Tally,
};
use breaker::{Breaker, Ticket};
use loom::thread;
use purlin_endpoint::Backoff;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn admit(breaker: &Breaker, now: Instant) -> Option<Ticket> {
    breaker.pass().or_else(|| breaker.ask(now, || 0.5).0.ok())
}

fn finish(breaker: &Breaker, ticket: Ticket, outcome: Outcome, at: Instant) {
    breaker.finish(ticket, Ended { outcome, started: at, at }, 0, || 0.5);
}

/// A breaker that a single failure opens, for a second.
fn config(half_open_calls: u32) -> CircuitBreaker {
    CircuitBreaker::new()
        .calls(2)
        .consecutive_failures(1)
        .half_open_calls(half_open_calls)
        .half_open_limit(100 * SECOND)
        .open_for(Backoff::new(SECOND).jitter(0.0))
}

/// A breaker whose next call finds it half-open.
///
/// Successes wait nowhere in it, as that is tried by itself.
fn opened(config: CircuitBreaker, now: Instant) -> Breaker {
    let breaker = Breaker::new(config, None, 0, now);
    let ticket = admit(&breaker, now).unwrap();
    finish(&breaker, ticket, Outcome::Failure, now);
    assert_eq!(breaker.state(), State::Open);
    breaker
}

/// Runs the work of each of three threads in all orders.
fn three(breaker: &Arc<Breaker>, work: impl Fn(&Breaker, usize) + Clone + Send + 'static) {
    let others = [1, 2].map(|index| {
        let (breaker, work) = (breaker.clone(), work.clone());
        thread::spawn(move || work(&breaker, index))
    });
    work(breaker, 0);
    others.into_iter().for_each(|other| other.join().unwrap());
}

#[test]
fn no_more_calls_are_let_in_half_open_than_there_are_permits() {
    for permits in [1, 2] {
        loom::model(move || {
            let now = Instant::now();
            let breaker = Arc::new(opened(config(permits), now));
            let held = Arc::new(AtomicU32::new(0));
            let count = held.clone();
            three(&breaker, move |breaker, _| {
                if let Some(ticket) = admit(breaker, now + SECOND) {
                    count.fetch_add(1, SeqCst);
                    // A call that never ends keeps its permit.
                    let _kept = ticket;
                }
            });
            assert_eq!(held.load(SeqCst), permits);
            assert_eq!((breaker.state(), breaker.probing()), (State::HalfOpen, permits));
        });
    }
}

#[test]
fn all_permits_come_back_and_none_comes_twice() {
    for permits in [1, 2] {
        loom::model(move || {
            let now = Instant::now() + SECOND;
            let breaker = Arc::new(opened(config(permits), now - SECOND));
            three(&breaker, move |breaker, _| {
                if let Some(ticket) = admit(breaker, now) {
                    finish(breaker, ticket, Outcome::Ignored, now);
                }
            });
            assert_eq!((breaker.state(), breaker.probing()), (State::HalfOpen, 0));
            for _ in 0..permits {
                let _kept = admit(&breaker, now).unwrap();
            }
            assert!(admit(&breaker, now).is_none());
        });
    }
}

/// Lets three calls in, finishes each on a thread of its own, and tells what came of it.
fn finished(config: CircuitBreaker, outcomes: [Outcome; 3]) -> (State, u64, Tally) {
    let now = Instant::now();
    let breaker = Arc::new(Breaker::new(config, None, 1, now));
    // What is shared so that any thread can take its own is none of loom's business.
    let tickets = Arc::new([(); 3].map(|()| Mutex::new(admit(&breaker, now))));
    three(&breaker, move |breaker, index| {
        let ticket = tickets[index].lock().unwrap().take().unwrap();
        finish(breaker, ticket, outcomes[index], now);
    });
    let (state, number, _, tally) = breaker.peek(now);
    (state, number, tally)
}

/// Which thread does what matters to the orders that loom tries.
fn rotations(mut outcomes: [Outcome; 3]) -> [[Outcome; 3]; 3] {
    [(); 3].map(|()| {
        outcomes.rotate_left(1);
        outcomes
    })
}

#[test]
fn a_result_of_an_earlier_state_never_counts_in_a_later_one() {
    for outcomes in rotations([Outcome::Failure, Outcome::Success, Outcome::Failure]) {
        loom::model(move || {
            // The first failure opens it, and nothing counts after that.
            let open = finished(config(2), outcomes);
            assert_eq!(open, (State::Open, 1, Tally::default()));
        });
    }
}

#[test]
fn each_success_comes_into_the_window_once_whoever_brings_it_in() {
    for outcomes in rotations([Outcome::Failure, Outcome::Success, Outcome::Success]) {
        loom::model(move || {
            let config = CircuitBreaker::new().calls(10).minimum_calls(10);
            let wanted = Tally { calls: 3, failed: 1, slow: 0 };
            assert_eq!(finished(config, outcomes), (State::Closed, 0, wanted));
        });
    }
}

#[test]
fn results_and_a_hand_on_the_switch_leave_no_permit_behind() {
    loom::model(|| {
        let now = Instant::now();
        let breaker = Arc::new(opened(config(2), now));
        three(&breaker, move |breaker, index| match index {
            0 => _ = breaker.force(Some(Forced::Closed)),
            1 => _ = breaker.force(None),
            _ => {
                if let Some(ticket) = admit(breaker, now + SECOND) {
                    finish(breaker, ticket, Outcome::Success, now + SECOND);
                }
            }
        });
        // The release may have come before the force, and done nothing.
        breaker.force(None);
        assert_eq!((breaker.state(), breaker.probing()), (State::Closed, 0));
        assert!(breaker.pass().is_some());
    });
}
