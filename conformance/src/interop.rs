//! The gRPC project's interoperability cases: their server, and a client that runs them.

mod cases;
mod compressed;
mod metadata;
mod server;
mod streams;
mod tap;

pub use cases::{CASES, COMPRESSED, Case, CompressedCase};
pub(crate) use cases::{LARGE, call_large_unary, large_response, large_unary, same};
pub use compressed::PACKED_FROM;
pub use server::service;
pub use tap::{Flags, Tapped, TappedBody};

/// The messages of `grpc.testing`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "this is generated from interop.proto"
)]
pub(crate) mod proto {
    include!(concat!(env!("OUT_DIR"), "/grpc.testing.rs"));
}

use purlin_endpoint::Method;

const SERVICE: &str = "grpc.testing.TestService";

static EMPTY: Method = Method::unary(SERVICE, "EmptyCall");
static UNARY: Method = Method::unary(SERVICE, "UnaryCall");
static OUTPUT: Method = Method::server_streaming(SERVICE, "StreamingOutputCall");
static INPUT: Method = Method::client_streaming(SERVICE, "StreamingInputCall");
static DUPLEX: Method = Method::bidirectional(SERVICE, "FullDuplexCall");
static HALF: Method = Method::bidirectional(SERVICE, "HalfDuplexCall");
static UNKNOWN_METHOD: Method = Method::unary(SERVICE, "UnimplementedCall");
static UNKNOWN_SERVICE: Method =
    Method::unary("grpc.testing.UnimplementedService", "UnimplementedCall");

const INITIAL: &str = "x-grpc-test-echo-initial";
const TRAILING: &str = "x-grpc-test-echo-trailing-bin";

/// A payload of so many zeros.
fn payload(size: usize) -> proto::Payload {
    proto::Payload { r#type: 0, body: vec![0; size] }
}
