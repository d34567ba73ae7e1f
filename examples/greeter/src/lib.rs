//! The greeter: one service over HTTP and gRPC.
//!
//! Read it from the inside out: [`service`] is the business, [`endpoints`] puts layers around it,
//! [`transport`] serves and calls it,
//! [`discovery`] has it found, and `main.rs` composes all of it.

pub mod discovery;
pub mod endpoints;
pub mod service;
pub mod transport;
