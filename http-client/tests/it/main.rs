//! The client against servers on real sockets, and on in-memory pairs where time is stopped.

mod errors;
mod exchanges;
#[cfg(feature = "rustls")]
mod tls;
mod world;
