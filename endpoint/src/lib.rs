//! Endpoints, and the layers around them.
//!
//! ```
//! use purlin_endpoint::{Code, Context, Endpoint as _, Error, endpoint_fn};
//!
//! # tokio_test::block_on(async {
//! let greet = endpoint_fn(|_: Context, name: &'static str| async move {
//!     match name {
//!         "" => Err(Error::invalid("name", "is empty")),
//!         name => Ok(format!("Hello, {name}!")),
//!     }
//! });
//!
//! assert_eq!(greet.invoke(Context::default(), "Ann").await?, "Hello, Ann!");
//! let refused = greet.invoke(Context::default(), "").await.unwrap_err();
//! assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "name is empty"));
//! # Ok::<_, Error>(())
//! # }).unwrap();
//! ```
//!
//! An [endpoint](Endpoint) is one RPC method: a [`tower_service::Service`] from a [`Request`], which
//! is a [`Context`] and a message, to a response or an [`Error`]. A transport decodes what comes in,
//! calls an endpoint and encodes what it returns; an endpoint knows nothing of transports.
//!
//! A layer that decides or observes is an [`Intercept`]: plain synchronous code, and the future that
//! joins it to the call is written here once. A layer that waits is a [`from_fn`]. Both work on any
//! tower service whose request is a [`Call`]: with the feature `http`, axum's routes and tonic's
//! channels among them.
//!
//! # Features
//!
//! - `http`: [`Call`], [`Carrier`] and [`Classify`] for the types of the `http` crate.
//! - `keyed`: [`Keyed`], a bounded table of states by key.
//! - `serde`: configurations in files; [`duration`] for fields of your own.
//! - `conformance`: the test kit that every layer of Purlin runs through, for your own.

mod answer;
mod attempts;
mod backoff;
mod boxed;
mod carrier;
mod catch_panic;
mod challenge;
mod classify;
mod clock;
mod code;
#[cfg(feature = "conformance")]
pub mod conformance;
mod context;
mod criticality;
mod deadline;
#[cfg(feature = "serde")]
pub mod duration;
mod end;
mod endpoint;
mod error;
mod from_fn;
#[cfg(feature = "http")]
mod http;
mod identity;
mod inspect;
mod intercept;
#[cfg(feature = "keyed")]
mod keyed;
mod method;
mod notes;
mod peer;
mod reply;
mod request;
mod request_id;
mod stream;
mod trace;
mod tried;

#[cfg(feature = "http")]
pub use crate::http::{ByGrpcStatus, ByStatus};
pub use answer::{Answer, AsError, AsResponse, Observes};
pub use attempts::Attempts;
pub use backoff::Backoff;
pub use boxed::BoxEndpoint;
pub use carrier::Carrier;
pub use catch_panic::{CatchPanic, CatchPanicLayer, Catching, Panicked, catch_panic};
pub use challenge::Challenge;
pub use classify::{ByCode, Classify, Verdict};
pub use code::{Code, UnknownCode};
pub use context::Context;
pub use criticality::Criticality;
pub use deadline::Expiring;
pub use end::{End, Ending, How};
pub use endpoint::{Endpoint, EndpointFn, Invoke, MethodLayer, Named, endpoint_fn};
pub use error::{BoxError, Error, Invalid, Violation};
pub use from_fn::{FromFn, FromFnLayer, Next, from_fn};
pub use identity::Identity;
pub use inspect::{Inspect, quote_json};
pub use intercept::{Guard, Intercept, InterceptLayer, Intercepted, Intercepting};
#[cfg(feature = "keyed")]
pub use keyed::{Keyed, KeyedByHash};
pub use method::{Kind, Method};
pub use notes::{Note, Notes, Within};
pub use peer::Peer;
pub use reply::{Reply, ReplyParts};
pub use request::{Call, Request, Slot, StreamLimit};
pub use request_id::{InvalidRequestId, RequestId};
pub use stream::Streaming;
pub use tower_layer::Layer;
pub use tower_service::Service;
pub use trace::{Baggage, SpanId, Trace, TraceId};
pub use tried::Tried;
