//! Retries and hedges, on a stopped clock.

mod a6;
mod conformance;
mod foreign;
mod go_kit;
mod handles;
mod hedges;
mod retries;
mod script;
#[cfg(feature = "serde")]
mod serde;
