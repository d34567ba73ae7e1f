//! Calls that take too long, on a stopped clock.

mod conformance;
mod layer;
#[cfg(feature = "serde")]
mod serde;
mod streams;
