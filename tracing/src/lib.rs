//! Distributed traces, one span per call.
//!
//! ```
//! use purlin_endpoint::{Context, Endpoint as _, Error, Method, MethodLayer, endpoint_fn};
//! use purlin_tracing::{Tracing, TracingLayer};
//! use tower::ServiceBuilder;
//!
//! static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");
//!
//! # tokio_test::block_on(async {
//! let (tracer, mut spans) = Tracing::new("greeter").tracer()?;
//! let greet = ServiceBuilder::new()
//!     .layer(MethodLayer::new(&GREETING))
//!     .layer(TracingLayer::server(&tracer))
//!     .service(endpoint_fn(|context: Context, _: &'static str| async move {
//!         Ok::<_, Error>(context.trace().unwrap().span_id())
//!     }));
//!
//! let own = greet.invoke(Context::default(), "Ann").await.unwrap();
//! let span = spans.take().remove(0);
//! assert_eq!((&*span.name, span.trace.span_id()), ("greeter.Greeter/Greeting", own));
//! # Ok::<_, purlin_endpoint::Invalid>(())
//! # }).unwrap();
//! ```
//!
//! A [`TracingLayer`] finds in a call's context where its caller stands in a trace, and sets where
//! the call itself does; so it belongs **outside** of layers that tell of the call, as log and
//! metrics do, for their lines and exemplars to show the call's ids, and next inside of what names
//! the method. It refuses nothing. What is recorded of a call, if its [`Sampling`] has chosen it,
//! waits in the [`Tracer`] until [`Spans::export`] hands it to an [`Export`]: `purlin-tracing-otlp`
//! and `purlin-tracing-zipkin` have some. All clones share their tracer; nothing is global.
//!
//! How a trace travels is the [`Propagation`], which a transport's `before` takes: the W3C's trace
//! context and baggage, and Zipkin's B3, over HTTP and gRPC.
//!
//! # What a span says
//!
//! Names are those of OpenTelemetry's semantic conventions, in the version that [`semconv`] has. A
//! server's span counts as failed if the server is to blame, a client's if it did not get what it
//! asked for. An error is the event `exception`, with its causes; one that followed earlier attempts
//! has those before it. What layers say of a sampled client call in its
//! [`Notes`](purlin_endpoint::Notes), such as the balancer's choice, are events as well, unless
//! somebody further out reads them. Texts are cut at 4 KiB, and control characters escaped.
//!
//! # Features
//!
//! - `serde`: configurations in files: `{"service": "greeter", "sampling": {"ratio": 0.1}}`.
//! - `tracing`: what is logged through the `tracing` crate while a call is worked on stands in a
//!   span `call` of the target `purlin`, at level info, whose fields are `trace_id` and `span_id`;
//!   if the subscriber of the program wants such spans. It costs next to nothing otherwise.

mod b3;
mod baggage;
mod clock;
mod config;
mod export;
mod handle;
mod id;
mod layer;
mod propagation;
mod record;
mod sampling;
pub mod semconv;
mod span;
mod tracer;
mod w3c;

pub use config::Tracing;
pub use export::{Export, Resource};
pub use handle::TracingHandle;
pub use layer::{CallSpan, CallTracing, TracingLayer};
pub use propagation::{Format, Propagation, UnknownFormat};
pub use sampling::Sampling;
pub use span::{Attribute, Event, Side, Span, Value};
pub use tracer::{Spans, Tracer};
