//! The gRPC project's negative HTTP/2 cases: a server that behaves badly on purpose, frame by frame,
//! and what our client has to make of it.
//!
//! Their server is a program in Python; this one does what its description says.

mod cases;
mod peer;
mod server;

pub use cases::{CASES, Case, left_out};
pub use server::{Misbehaviour, Seen, Server};
