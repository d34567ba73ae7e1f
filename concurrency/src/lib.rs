//! Concurrency limits for calls.
//!
//! ```
//! use purlin_concurrency::ConcurrencyLimit;
//! use purlin_endpoint::{Code, Context, Endpoint as _, Error, endpoint_fn};
//! use tower::ServiceBuilder;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), purlin_endpoint::Invalid> {
//! let layer = ConcurrencyLimit::new(1).layer()?;
//! let handle = layer.handle();
//! let nap = ServiceBuilder::new().layer(layer).service(endpoint_fn(|_: Context, ()| async {
//!     tokio::task::yield_now().await;
//!     Ok::<_, Error>("rested")
//! }));
//!
//! let (first, second) = tokio::join!(
//!     nap.invoke(Context::default(), ()),
//!     nap.invoke(Context::default(), ()),
//! );
//! assert_eq!(first.unwrap(), "rested");
//! assert_eq!(second.unwrap_err().code(), Code::Unavailable);
//! assert_eq!((handle.in_flight(), handle.limit()), (0, 1));
//! # Ok(())
//! # }
//! ```
//!
//! At most so many calls are in flight at once, each until the end of its stream. The limit is a
//! number, or finds itself by what it does to latency: [`AdaptiveLimit`]. A call that finds no room
//! is refused with [`Shed`] before the inner service is touched, or [waits](ConcurrencyLimit::queue)
//! for a while, but never beyond its deadline.
//!
//! The least [critical](purlin_endpoint::Criticality) call is refused first, as in Google's
//! [Handling Overload](https://sre.google/sre-book/handling-overload/): a part of the limit is
//! [reserved](ConcurrencyLimit::reserve) for calls that matter, they are first in the queue, and in
//! a full queue they take the place of one that matters less.
//!
//! Clones of a layer, and all that they wrap, share one limit and one queue; a [`Handle`] reads and
//! changes them. A call that finds room takes no lock and allocates nothing. One that waits needs a
//! tokio runtime with its timer on.
//!
//! # Features
//!
//! - `serde`: reads and writes a [`ConcurrencyLimit`], as in
//!   `{"limit": {"fixed": 100}, "queue": 20, "patience": "50ms"}`.

mod adaptive;
mod config;
mod handle;
mod layer;
mod limiter;
mod measured;
mod queue;
mod shed;

pub use config::{AdaptiveLimit, ConcurrencyLimit, Limit};
pub use handle::Handle;
pub use layer::{ConcurrencyLayer, Limited};
pub use shed::Shed;
