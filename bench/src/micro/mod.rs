//! Rows of nanoseconds and allocations per call.
//!
//! A row is a name and a function that makes the operation, once for each
//! thread: what the threads share it captures, what each has for itself it
//! makes. `benches/micro.rs` measures time and `src/bin/micro-allocs.rs` counts
//! allocations, apart because counting costs time.

mod balancing;
pub mod chain;
mod contended;
mod cost;
mod counted;
mod resilience;
mod rows;
mod timed;

pub use contended::contended;
pub use cost::{Rows, compare};
pub use counted::Counted;
pub use rows::rows;
pub use timed::Timed;

/// Something that measures one operation after the other.
pub trait Micro {
    /// Measures the operation that `setup` makes.
    fn row<Setup, Op, Out>(&mut self, name: &str, setup: Setup)
    where
        Setup: Fn() -> Op + Sync,
        Op: AsyncFnMut() -> Out;
}
