//! Rate limits for calls.
//!
//! ```
//! use purlin_endpoint::{Code, Context, Endpoint as _, Error, endpoint_fn};
//! use purlin_ratelimit::RateLimit;
//! use tower::ServiceBuilder;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), purlin_endpoint::Invalid> {
//! // Two calls at once, then one more each second.
//! let greet = ServiceBuilder::new()
//!     .layer(RateLimit::per_second(1).burst(2).layer()?)
//!     .service(endpoint_fn(|_: Context, name: &'static str| async move {
//!         Ok::<_, Error>(format!("Hello, {name}!"))
//!     }));
//!
//! assert!(greet.invoke(Context::default(), "Ada").await.is_ok());
//! assert!(greet.invoke(Context::default(), "Grace").await.is_ok());
//! let refused = greet.invoke(Context::default(), "Edsger").await.unwrap_err();
//! assert_eq!(refused.code(), Code::ResourceExhausted);
//! assert_eq!(refused.retry_delay(), Some(std::time::Duration::from_secs(1)));
//! # Ok(())
//! # }
//! ```
//!
//! A limit is a bucket of tokens: each call takes one, [`burst`](RateLimit::burst) of them are in a
//! full one, and `calls` of them come back each `period`. In no window of that length are more than
//! `calls` + `burst` admitted. A call that finds the bucket empty is refused with [`Limited`] before
//! the inner service is touched; the error is [`RESOURCE_EXHAUSTED`] and says when to try again.
//! With some [`patience`](RateLimit::patience) it waits for its token instead, if that comes in time.
//!
//! Clones of a layer, and all that they wrap, share one bucket; or one for each key
//! ([`by`](RateLimit::by)), such as a tenant or an address:
//!
//! ```
//! use purlin_ratelimit::RateLimit;
//! # struct Tenant(String);
//!
//! let limit = RateLimit::per_second(10).burst(50);
//! let by_address = limit.by(|context| Some(context.peer()?.address()?.ip().into()));
//! let by_method = limit.by(|context| Some(context.method()?.into()));
//! let by_tenant = limit.by(|context| Some(context.get::<Tenant>()?.0.as_str().into()));
//! assert!(by_tenant.keys(100_000).layer().is_ok());
//! # assert!(by_address.layer().is_ok() && by_method.layer().is_ok());
//! ```
//!
//! # Time
//!
//! A call is admitted by when it started, which its transport has read already, and refused only
//! after another look at the clock. So a call that has waited further out is not refused for that,
//! and it counts as of when it came: behind a queue of a second, what is limited is how calls came
//! a second ago. A limit belongs in front of a queue.
//!
//! # Features
//!
//! - `serde`: reads and writes a [`RateLimit`] as `{"calls": 100, "period": "1s", "burst": 20}`.
//!
//! [`RESOURCE_EXHAUSTED`]: purlin_endpoint::Code::ResourceExhausted

mod bucket;
mod handle;
mod key;
mod layer;
mod limit;
mod state;

pub use handle::Handle;
pub use key::Key;
pub use layer::{Limited, RateLimitLayer, RateLimited};
pub use limit::{PerKey, RateLimit};
