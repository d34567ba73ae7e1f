//! Foreign suites that test both transports.
//!
//! ```
//! use purlin_conformance::table::{COMMITTED, rows};
//!
//! let grpc = rows(COMMITTED).into_iter().filter(|row| row.suite == "connectconformance 1.0.5");
//! assert_eq!(grpc.map(|row| (row.cases, row.passed)).collect::<Vec<_>>(), [(566, 566), (634, 634)]);
//! ```
//!
//! [`runs`] starts each suite against programs of this crate, and [`table`] is what came of it.

pub mod connect;
mod feed;
pub mod interop;
mod listeners;
pub mod negative;
pub mod runs;
pub mod table;

pub use listeners::Listener;
