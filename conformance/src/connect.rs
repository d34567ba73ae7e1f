//! The service of the connectconformance suite, as a server and as a client.
//!
//! Both speak with the suite over standard input and output: protobuf messages, each behind its
//! length in four bytes.

mod client;
mod definition;
mod outcome;
mod server;
mod tls;
mod wire;

pub use client::client;
pub use server::server;

/// The suite's messages.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "this is generated from connect.proto"
)]
pub(crate) mod proto {
    include!(concat!(env!("OUT_DIR"), "/connectrpc.conformance.v1.rs"));
}

pub(crate) use proto::conformance_payload::RequestInfo;

use purlin_endpoint::Method;

const SERVICE: &str = "connectrpc.conformance.v1.ConformanceService";

static UNARY: Method = Method::unary(SERVICE, "Unary");
static IDEMPOTENT_UNARY: Method = Method::unary(SERVICE, "IdempotentUnary").idempotent();
static UNIMPLEMENTED: Method = Method::unary(SERVICE, "Unimplemented");
static CLIENT_STREAM: Method = Method::client_streaming(SERVICE, "ClientStream");
static SERVER_STREAM: Method = Method::server_streaming(SERVICE, "ServerStream");
static BIDI_STREAM: Method = Method::bidirectional(SERVICE, "BidiStream");
