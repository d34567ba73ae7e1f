use crate::{Do, Obedient, SECOND, request};
use fastrand::Rng;
use purlin_circuitbreaker::{CircuitBreaker, Open};
use purlin_endpoint::{Backoff, Code, Layer as _, Service as _, catch_panic};
use std::{
    future::Future as _,
    pin::Pin,
    task::{self, Poll, Waker},
};

/// The longest that it is open, and the longest that it is half-open.
const WAITS: [u32; 2] = [4, 5];

fn config(random: &mut Rng) -> CircuitBreaker {
    let config = CircuitBreaker::new()
        .minimum_calls(random.u32(1..10))
        .half_open_calls(random.u32(1..5))
        .half_open_limit(WAITS[1] * SECOND)
        .open_for(Backoff::new(SECOND).longest(WAITS[0] * SECOND).jitter(0.0));
    match random.bool() {
        true => config.calls(random.u32(5..20)),
        false => config.time(random.u32(1..10) * SECOND).consecutive_failures(3),
    }
}

/// Makes some sixty calls, of which many are dropped and some hang for ever, and then tells whether
/// any call is let in once it has been open and half-open for as long as it may be.
async fn recovers(seed: u64) -> bool {
    let mut random = Rng::with_seed(seed);
    let mut service = config(&mut random).layer().unwrap().layer(Obedient);
    let mut hanging = Vec::new();
    for _ in 0..60 {
        let what = match random.u32(0..100) {
            0..30 => Do::Take(SECOND),
            30..35 => Do::Panic,
            35..45 => Do::Hang,
            45..75 => Do::Fail(Code::Internal),
            _ => Do::Answer,
        };
        let mut call = service.call(request(what));
        if what == Do::Take(SECOND) && random.bool() {
            // Dropped before it was ever polled.
            continue;
        }
        let polled =
            catch_panic(|| Pin::new(&mut call).poll(&mut task::Context::from_waker(Waker::noop())));
        match polled {
            Ok(Poll::Pending) if what == Do::Hang => hanging.push(call),
            // Dropped half-way, or over.
            _ => drop(call),
        }
        tokio::time::advance(SECOND / 1000 * random.u32(0..1000)).await;
    }
    for wait in WAITS {
        tokio::time::advance(wait * SECOND).await;
        // It is open or half-open still, or this brings it to the next state.
        drop(service.call(request(Do::Take(SECOND))));
    }
    tokio::time::advance(WAITS[0] * SECOND).await;
    let outcome = service.call(request(Do::Answer)).await;
    outcome.err().is_none_or(|error| error.find::<Open>().is_none())
}

#[tokio::test(start_paused = true)]
async fn no_drop_and_no_panic_leaves_it_refusing_for_ever() {
    let seeds = if std::env::var_os("PURLIN_SOAK").is_some() { 100_000 } else { 10_000 };
    for seed in 0..seeds {
        assert!(recovers(seed).await, "seed {seed}");
    }
}
