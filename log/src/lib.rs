//! Structured logs, one line per call.
//!
//! ```
//! use purlin_endpoint::{Context, Endpoint as _, Error, Method, MethodLayer, endpoint_fn};
//! use purlin_log::{LogLayer, Logger};
//! use tower::ServiceBuilder;
//! # use std::{io, sync::{Arc, Mutex}};
//! # #[derive(Clone, Default)]
//! # struct Lines(Arc<Mutex<Vec<u8>>>);
//! # impl io::Write for Lines {
//! #     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> { self.0.lock().unwrap().write(bytes) }
//! #     fn flush(&mut self) -> io::Result<()> { Ok(()) }
//! # }
//!
//! static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");
//!
//! # tokio_test::block_on(async {
//! # let lines = Lines::default();
//! # let writer = lines.clone();
//! let greet = ServiceBuilder::new()
//!     .layer(MethodLayer::new(&GREETING))
//!     .layer(LogLayer::new(Logger::logfmt(writer)))
//!     .service(endpoint_fn(|_: Context, _: &'static str| async move {
//!         Err::<String, _>(Error::invalid("name", "is missing"))
//!     }));
//!
//! greet.invoke(Context::default(), "").await.unwrap_err();
//! // ts=2026-11-21T15:14:33.123456Z level=warn msg=call method=greeter.Greeter/Greeting
//! //     code=INVALID_ARGUMENT took_ms=0.021 error="name is missing"        (in one line)
//! # let line = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
//! assert!(line.contains("method=greeter.Greeter/Greeting code=INVALID_ARGUMENT"));
//! assert!(line.ends_with("error=\"name is missing\"\n"));
//! # });
//! ```
//!
//! A [`Logger`] is a value that `main` makes and hands on: nothing is global, and nothing is
//! installed. A [`LogLayer`] writes one line for each call. It refuses nothing, and changes nothing
//! but that attempts are counted. Clones of both share one writer and one level, which a [`Handle`]
//! changes while they run, for good or for a time.
//!
//! Lines are written by who logs them or, by a [queued](Logger::queued) logger, in a thread of its
//! own, with room for so many and a count of those that found none. Lines that repeat themselves
//! can be [sampled](Logger::sampling). Fields that are secret, by their [type](Secret) or their
//! [name](Logger::secrets), are written as `***`.
//!
//! # Features
//!
//! - `log`: a [`Logger`] is a `log::Log`, for `main` to install.
//! - `serde`: reads and writes [`Level`], [`Format`], [`Sampling`] and [`Queue`].
//! - `tracing`: `FromTracing` writes events as lines, and `Logger::to_tracing` makes lines events.

mod call_line;
mod color;
mod dial;
mod escape;
#[cfg(feature = "tracing")]
mod events;
mod format;
mod handle;
mod layer;
mod level;
mod line;
mod logger;
mod queue;
#[cfg(feature = "log")]
mod records;
mod sampling;
mod secret;
mod shared;
mod sink;
mod timestamp;
mod value;

pub use call_line::CallLine;
#[cfg(feature = "tracing")]
pub use events::FromTracing;
pub use format::{Format, UnknownFormat};
pub use handle::Handle;
pub use layer::{CallLog, LogLayer, NoFields, RequestFields};
pub use level::{Level, UnknownLevel};
pub use line::{Fields, Line};
pub use logger::Logger;
pub use queue::{Background, Queue};
pub use sampling::Sampling;
pub use secret::Secret;
pub use value::Value;
