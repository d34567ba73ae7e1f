//! Endpoints over gRPC.
//!
//! ```
//! use prost::Message;
//! use purlin_endpoint::{Code, Context, Endpoint as _, Error, Method, endpoint_fn};
//! use purlin_transport_grpc::{Client, Server};
//!
//! static GREETING: Method = Method::unary("greeter.Greeter", "Greeting").idempotent();
//!
//! #[derive(Clone, PartialEq, Message)] // As prost generates it.
//! struct GreetingRequest {
//!     #[prost(string, tag = "1")]
//!     name: String,
//! }
//!
//! #[derive(Clone, PartialEq, Message)]
//! struct GreetingResponse {
//!     #[prost(string, tag = "1")]
//!     greeting: String,
//! }
//!
//! fn decode(pb: GreetingRequest) -> Result<String, Error> {
//!     if pb.name.is_empty() { Err(Error::invalid("name", "is missing")) } else { Ok(pb.name) }
//! }
//!
//! # tokio_test::block_on(async {
//! let greet = endpoint_fn(async |_: Context, name: String| {
//!     Ok::<_, Error>(format!("Hello, {name}!"))
//! });
//! let server = Server::new()
//!     .unary(&GREETING, greet, decode, |greeting| Ok(GreetingResponse { greeting }));
//!
//! // Any HTTP service over HTTP/2 is a channel, and the server in this process is one too.
//! let greeting = Client::unary(
//!     server,
//!     &GREETING,
//!     |name: &str| Ok(GreetingRequest { name: name.to_owned() }),
//!     |pb: GreetingResponse| Ok(pb.greeting),
//! );
//! assert_eq!(greeting.invoke(Context::new(), "Ann").await?, "Hello, Ann!");
//! let refused = greeting.invoke(Context::new(), "").await.unwrap_err();
//! assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "name is missing"));
//! assert_eq!(refused.violations()[0].field, "name");
//! # Ok::<_, Error>(())
//! # }).unwrap();
//! ```
//!
//! A [`Server`] is a tower service with endpoints on their paths; a [`Client`] is an endpoint that
//! calls one. All four kinds of methods go through the same layers: the request or response of a
//! streaming method is a [`Streaming`](purlin_endpoint::Streaming), whose messages are decoded and
//! encoded one by one.
//!
//! # What travels
//!
//! - The deadline, as `grpc-timeout`. It is read strictly (a malformed one is `INTERNAL`, and the
//!   endpoint is not called) and kept to the end of a stream, by both sides, and whether the stream
//!   is read or not. What has expired on arrival does not run.
//! - The request id, as `x-request-id`, both ways; the number of earlier attempts, as
//!   `grpc-previous-rpc-attempts`; how much the call matters, as `x-criticality`, which a server
//!   believes only with [`trust_callers`](Server::trust_callers).
//! - An error: its code, message, violations (`BadRequest`), retry delay (`RetryInfo`, and
//!   `grpc-retry-pushback-ms`) and members (`ErrorInfo`), and any [`StatusDetails`]. The text of an
//!   internal failure stays inside.
//! - Metadata: read and written by the functions that [`before`](Server::before) and
//!   [`after`](Server::after) take, and by
//!   [`Context::reply`](purlin_endpoint::Context::reply). Under names that end in `-bin` stands
//!   base64: [`encode_binary`], [`binary_values`].
//!
//! # What is refused
//!
//! `UNIMPLEMENTED`: an unknown method, none or several messages where one belongs, packing that is
//! not accepted. `RESOURCE_EXHAUSTED`: a message over the limit, 4 MiB either way, unpacked.
//! `INVALID_ARGUMENT`: a request that is no message of its method. `INTERNAL`: a panic, and
//! whatever breaks the protocol.
//!
//! # Features
//!
//! - `client`: `Channel`, one connection that is made again when it breaks; and resets of a
//!   stream are told apart, so that a call that the server has refused to begin is
//!   [`unreached`](purlin_endpoint::Error::is_unreached).

mod body;
mod broken;
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
mod overseen;
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
pub use respond::{Responding, to_status};
pub use route::{Each, One};
pub use serve::Unserved;
pub use server::Server;
