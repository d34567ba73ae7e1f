//! How calls come in and go out: decode and encode, and no layer.

pub mod grpc;
pub mod http;
