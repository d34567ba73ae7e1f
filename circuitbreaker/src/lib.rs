//! Circuit breakers for calls.
//!
//! ```
//! use purlin_circuitbreaker::CircuitBreaker;
//! use purlin_endpoint::{Code, Context, Endpoint as _, Error, endpoint_fn};
//! use tower::ServiceBuilder;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), purlin_endpoint::Invalid> {
//! let greet = ServiceBuilder::new()
//!     .layer(CircuitBreaker::new().consecutive_failures(5).layer()?)
//!     .service(endpoint_fn(|_: Context, name: &'static str| async move {
//!         Err::<String, _>(Error::internal(format!("nobody greets {name}")))
//!     }));
//!
//! for _ in 0..5 {
//!     let failed = greet.invoke(Context::default(), "Ann").await.unwrap_err();
//!     assert_eq!(failed.code(), Code::Internal);
//! }
//! let refused = greet.invoke(Context::default(), "Ann").await.unwrap_err();
//! assert_eq!((refused.code(), refused.is_unreached()), (Code::Unavailable, true));
//! assert!(refused.retry_delay().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! A breaker is closed at first and lets all calls in. When too many of them fail or are slow it
//! opens: calls are refused with [`Open`], before the inner service is touched, and the one who
//! failed is left in peace. After a while it is half-open: it lets a few calls in, and closes or
//! opens again by what becomes of them.
//!
//! - What counts as a failure is for the classifier to say, by default the code of the error: the
//!   server's faults do, and panics too. Any other answer counts as a success, also one that says
//!   that the caller is mistaken: who can say so is alive. `RESOURCE_EXHAUSTED` and `CANCELLED`
//!   count as neither, and so does a call that is dropped; but what it took is given back.
//! - A streaming call counts when its stream ends.
//! - Each method has a breaker of its own; [`by`](CircuitBreakerLayer::by) gives one to each key
//!   instead. Calls of no method share one, which on a plain tower stack is all of them.
//! - Clones of a layer, and all that they wrap, share their breakers.
//!
//! [`Throttle`] is another form: it has no states, and refuses a growing share of calls.
//!
//! # Features
//!
//! - `serde`: configurations in files: `{"failure_rate": 0.3, "open_for": {"initial": "2s"}}`.

mod breaker;
mod config;
mod event;
mod handle;
mod layer;
#[cfg(test)]
mod loomed;
mod machine;
#[cfg(test)]
mod model;
mod state;
mod sync;
mod table;
mod throttle;
mod window;

pub use config::CircuitBreaker;
pub use event::{Event, Events};
pub use handle::{Handle, Status};
pub use layer::{Breakers, CircuitBreakerLayer, Counted, Open};
pub use state::{Forced, State};
pub use throttle::{Throttle, ThrottleHandle, ThrottleLayer, Throttled, Throttles, Throttling};
