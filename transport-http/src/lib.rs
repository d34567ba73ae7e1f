//! Endpoints over HTTP.
//!
//! ```
//! use purlin_endpoint::{Context, Error, endpoint_fn};
//! use purlin_transport_http::{Body, Router, Server, decode, encode};
//! use tower::ServiceExt as _;
//!
//! #[derive(serde::Deserialize)]
//! struct Greeting { name: String }
//!
//! # tokio_test::block_on(async {
//! let greeting = endpoint_fn(|_: Context, Greeting { name }| async move {
//!     Ok::<_, Error>(format!("Hello, {name}!"))
//! });
//! let router = Router::new()
//!     .get("/greeting", Server::new(greeting, decode::query::<Greeting>, encode::json));
//!
//! let get = |path: &str| router.clone().oneshot(http::Request::get(path).body(Body::empty()).unwrap());
//! let response = get("/greeting?name=Ann").await?;
//! assert_eq!(response.into_body().bytes().await?, r#""Hello, Ann!""#);
//! assert_eq!(get("/greeting").await?.status(), 400);
//! # Ok::<_, Error>(())
//! # }).unwrap();
//! ```
//!
//! A [`Server`] is an HTTP service: it decodes a request, calls an endpoint and encodes what that
//! returns. A [`Router`] finds the server for a request; axum's does too. Both are served by
//! `purlin-serve`, or by anything that serves a tower service.
//!
//! # What a server does by itself
//!
//! - An error becomes a problem document ([`encode::problem`]), and a panic an internal error: its
//!   connection lives on and no text of it leaves.
//! - The body of a request has a size limit and an idle timeout.
//! - The deadline that a caller gives in `x-request-timeout-ms` covers the whole exchange, the body
//!   of the response included, whether its peer reads that or not. A malformed one is answered with
//!   400, one of zero with 504.
//! - The call's id in `x-request-id`, or a new one where that is missing or malformed, is sent back.
//! - `x-previous-attempts` is the number of attempts before this one. `x-criticality` counts only
//!   where callers are [trusted](Server::trust_callers).
//!
//! # Features
//!
//! - `client`: `HttpClient`, a pooled client to give to [`Client`].
//! - `rustls`: that client also speaks HTTPS.
//! - `axum`: any extractor of axum as a decoder, any of its responses as an encoder.
//! - `proto`: protocol buffers as bodies.

#[cfg(feature = "axum")]
pub mod axum;
mod body;
pub mod client;
pub mod decode;
pub mod encode;
mod event;
mod event_in;
mod exchange;
mod json;
mod lines;
mod options;
mod overseen;
mod pairs;
mod pairs_out;
mod problem;
#[cfg(feature = "proto")]
mod proto;
mod route;
mod router;
mod server;
mod serving;
mod status;
mod stream;
mod tail;
mod watch;

pub use body::Body;
pub use client::Client;
pub use event::Event;
pub use options::HeaderNames;
pub use route::HttpService;
pub use router::{MatchedRoute, Router, Routing};
pub use server::{Decode, Server};
pub use serving::Serving;
pub use status::{code_of, status_of};
pub use tail::Finished;
pub use watch::{BodyStalled, BodyTooLarge};
