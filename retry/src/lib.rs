//! Retries and hedges within a budget.
//!
//! ```
//! use purlin_endpoint::{Code, Context, Endpoint as _, Error, Method, MethodLayer, endpoint_fn};
//! use purlin_retry::{Attempts, Retry};
//! use tower::ServiceBuilder;
//!
//! static GREETING: Method = Method::unary("greeter.Greeter", "Greeting").idempotent();
//!
//! # let mut runtime = tokio::runtime::Builder::new_current_thread();
//! # runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
//! // Twice more if it fails and may be repeated, a little later each time.
//! let retry = Retry::attempts(3).layer()?;
//! let handle = retry.handle();
//! let greet = ServiceBuilder::new().layer(MethodLayer::new(&GREETING)).layer(retry).service(
//!     endpoint_fn(|context: Context, name: &'static str| async move {
//!         match (name, context.attempt()) {
//!             ("Ann", 1..) => Ok("Hello, Ann!"),
//!             _ => Err(Error::new(Code::Unavailable, "nobody is home")),
//!         }
//!     }),
//! );
//!
//! assert_eq!(greet.invoke(Context::default(), "Ann").await.unwrap(), "Hello, Ann!");
//! let failed = greet.invoke(Context::default(), "Bob").await.unwrap_err();
//! assert_eq!((failed.code(), failed.message()), (Code::Unavailable, "nobody is home"));
//! assert_eq!(failed.find::<Attempts>().unwrap().earlier().len(), 2);
//! assert_eq!((handle.calls(), handle.repeats()), (2, 3));
//! # Ok::<_, purlin_endpoint::Invalid>(())
//! # }).unwrap();
//! ```
//!
//! A [`Retry`] repeats a call that failed; a [`Hedge`] makes a second attempt beside one that takes
//! long, and the first answer wins. A method has one of the two around it, not both.
//!
//! # When a call is repeated
//!
//! All of these must hold, or the outcome is passed on as it is:
//!
//! - **It may help**: the failure says that it is [retryable](Error::is_retryable), or the
//!   classifier calls it `UNAVAILABLE`. A head of a stream is a success: what breaks off after it is
//!   never repeated.
//! - **It does no harm**: the method is declared [idempotent](purlin_endpoint::Method::idempotent),
//!   or the failure says that it never [reached](Error::is_unreached) a handler. (A hedge needs an
//!   idempotent method.)
//! - **There is time**: the wait ends before the call's deadline. The wait is the
//!   [delay](Error::retry_delay) that the failure asks for, to the letter, or else the
//!   [`Backoff`](purlin_endpoint::Backoff)'s.
//! - **The budget allows it**: repetitions are at most a share of all calls, see [`Budget`].
//! - **Nobody else repeats it**: a call that comes as a [repetition](Context::attempt) is passed
//!   through once, and a failure that an inner layer has repeated already is not repeated again. So
//!   retries never multiply, within a process or behind a caller that retries. (A call that a
//!   handler makes of its own, with [`Context::outgoing`], is a first attempt again.)
//!
//! # What comes out
//!
//! The last attempt's outcome. If it is an error, [`Attempts`] is found in it, with the errors of all
//! earlier ones, also where the deadline ended the call. An attempt that took too long is
//! [`TimedOut`]. A call refused by the budget returns its own failure: there is no error for that.
//!
//! Services fail with an [`Error`] or a [`BoxError`](purlin_endpoint::BoxError), see [`Failure`];
//! around others put tower's `map_err(BoxError::from)`. Requests are cloned only where a repetition
//! can come; those that can't be [`Clone`]d are [replayed](RetryLayer::replay) by a function.
//!
//! Clones of a layer, and all that they wrap, share configuration, counters and budget. Layers share
//! a budget by being built [on one](Retry::layer_on) [`Purse`].

mod attempt;
mod budget;
mod course;
mod failure;
mod handle;
mod hedge;
mod latencies;
mod limit;
mod race;
mod replay;
mod retry;
mod window;

pub use budget::{Budget, Grant, Purse};
pub use failure::{Failure, TimedOut};
pub use handle::{HedgeHandle, RetryHandle};
pub use hedge::{Hedge, HedgeLayer, Hedged};
pub use purlin_endpoint::Attempts;
pub use replay::{Cloned, Replay};
pub use retry::{Retried, Retry, RetryLayer};

// Named in the documentation above.
#[cfg(doc)]
use purlin_endpoint::{Context, Error};
