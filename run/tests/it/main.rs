//! Groups on a stopped clock, and one in a process of its own with real signals.

mod group;
#[cfg(unix)]
mod signals;
