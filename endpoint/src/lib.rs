//! Endpoints, and the layers around them.

mod peer;

pub use peer::Peer;
