//! Endpoints over gRPC.

mod body;
mod calling;
#[cfg(feature = "client")]
mod channel;
mod client;
mod details;
mod frame;
mod gzip;
mod health;
mod metadata;
mod options;
mod percent;
mod reflection;
mod respond;
mod responses;
mod route;
mod serve;
mod server;
mod status;
mod timeout;
mod timer;

pub use body::Body;
#[doc(hidden)]
pub use calling::{Ingoing, Outgoing, Received, Sending};
#[cfg(feature = "client")]
pub use channel::{Channel, Unreachable};
pub use client::{Client, Unnamed};
pub use details::StatusDetails;
pub use health::HealthSource;
pub use metadata::{binary_values, decode_binary, encode_binary};
pub use respond::Responding;
pub use route::{Each, One};
pub use serve::Unserved;
pub use server::Server;
