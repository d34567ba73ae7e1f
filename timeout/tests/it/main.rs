//! Calls that take too long, on a stopped clock.

mod layer;
#[cfg(feature = "serde")]
mod serde;
