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
//! installed. A [`LogLayer`] writes one line for each call. It refuses nothing and changes nothing.

mod format;
mod layer;
mod level;
mod logger;
mod timestamp;
mod value;

pub use format::{Format, UnknownFormat};
pub use layer::{CallLine, CallLog, LogLayer};
pub use level::{Level, UnknownLevel};
pub use logger::{Line, Logger};
pub use value::Value;
