//! One reading of the clock at the end of a call, shared by all that want it.
//!
//! When a call ends, the guards around it run one after the other, from the inside out, within one
//! poll. The first that asks reads the clock; the others get that reading. It is remembered for
//! the call that it was made for (known by when that call started) and forgotten at the next poll,
//! so that neither another call on this thread nor a pause between two polls can hand on an old one.

use std::{cell::Cell, time::Duration};
use tokio::time::Instant;

thread_local! {
    static READING: Cell<Option<Reading>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Reading {
    /// When the call that it was made for started.
    started: Instant,
    ended: Instant,
    took: Duration,
}

/// Forgets the reading: a poll begins.
#[inline]
pub(crate) fn forget() {
    READING.set(None);
}

/// When the call that began at `started` ended, and how long it took.
#[inline]
pub(crate) fn ended(started: Instant) -> (Instant, Duration) {
    match READING.get() {
        Some(Reading { started: call, ended, took }) if call == started => (ended, took),
        _ => read(started),
    }
}

fn read(started: Instant) -> (Instant, Duration) {
    let ended = Instant::now();
    let took = ended.saturating_duration_since(started);
    READING.set(Some(Reading { started, ended, took }));
    (ended, took)
}
