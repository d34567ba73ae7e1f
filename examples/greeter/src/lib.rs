//! The greeter: one service over HTTP and gRPC.
//!
//! Read it from the inside out: [`service`] is the business, [`endpoints`] puts layers around it,
//! [`transport`] serves and calls it, and `main.rs` composes all of it.

pub mod endpoints;
pub mod service;
pub mod transport;
