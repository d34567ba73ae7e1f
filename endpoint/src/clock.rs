//! One reading of the clock at the end of a call, shared by all that want it.
//!
//! When a call ends, the guards around it run one after the other, from the inside out, within one
//! poll. The first that asks reads the clock; the others get that reading. It is remembered for
//! the call that it was made for (known by when that call started) and forgotten at the next poll,
//! so that neither another call on this thread nor a pause between two polls can hand on an old one.

use std::cell::Cell;
use tokio::time::Instant;

thread_local! {
    static READING: Cell<Option<(Instant, Instant)>> = const { Cell::new(None) };
}

/// Forgets the reading: a poll begins.
pub(crate) fn forget() {
    READING.set(None);
}

/// The instant at which the call that began at `started` ended.
pub(crate) fn ended(started: Instant) -> Instant {
    match READING.get() {
        Some((call, reading)) if call == started => reading,
        _ => {
            let now = Instant::now();
            READING.set(Some((started, now)));
            now
        }
    }
}
