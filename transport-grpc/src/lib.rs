//! Endpoints over gRPC.

mod body;
mod details;
mod frame;
mod gzip;
mod metadata;
mod options;
mod percent;
mod respond;
mod route;
mod serve;
mod server;
mod status;
mod timeout;

pub use body::Body;
pub use details::StatusDetails;
pub use metadata::{binary_values, decode_binary, encode_binary};
pub use respond::Responding;
pub use serve::Unserved;
pub use server::Server;
