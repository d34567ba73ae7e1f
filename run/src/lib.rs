//! Actors that start together and stop in order.
//!
//! ```
//! use purlin_run::{Group, Reason, Stop};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let stopped = Group::new()
//!     .actor("server", |stop: Stop| stop.requested())
//!     .actor("job", |_| async { Err("out of paper") })
//!     .on_stop("readiness off", async {})
//!     .flush("logs", async {})
//!     .run()
//!     .await;
//!
//! assert_eq!(stopped.first().to_string(), "job failed: out of paper");
//! let order: Vec<_> = stopped.all().iter().map(|ended| ended.actor()).collect();
//! assert_eq!(order, ["job", "readiness off", "server", "logs"]);
//! # }
//! ```
//!
//! All actors of a [`Group`] start together. When the first ends, whether it succeeds, fails or
//! panics, or when a [signal](Group::signals) comes, the group stops in this order:
//!
//! 1. What was given to [`on_stop`](Group::on_stop) runs, one after the other: readiness off,
//!    deregister.
//! 2. The [`drain_delay`](Group::drain_delay) passes, in which others learn of that.
//! 3. All actors are told to stop, by their [`Stop`]. They finish what is in flight.
//! 4. Those that have not ended within the [`deadline`](Group::deadline) are aborted.
//! 5. What was given to [`flush`](Group::flush) runs, one after the other.
//!
//! Every actor is joined, and [`Stopped`] says what became of each. Dropping the future of
//! [`run`](Group::run) aborts all of them.

mod ended;
mod group;
mod running;
mod signal;
mod stop;

pub use ended::{BoxError, Ended, Outcome, Reason, Stopped};
pub use group::Group;
pub use signal::Signal;
pub use stop::Stop;
