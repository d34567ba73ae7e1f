//! What the crate promises, tried.

mod answers;
mod foreign;
mod server;
mod storms;
mod suite;
