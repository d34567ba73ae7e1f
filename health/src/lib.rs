//! Liveness and readiness with named checks.
//!
//! ```
//! use purlin_health::Health;
//!
//! # tokio_test::block_on(async {
//! let health = Health::new();
//! health.check("disk", || async { Ok::<_, &str>(()) });
//! let registry = health.gate("registry");
//! assert_eq!(health.report().await.to_string(), "not ready: registry");
//!
//! registry.open();
//! assert_eq!(health.report().await.to_string(), "ready");
//!
//! health.set_serving(false);
//! assert_eq!(health.report().await.to_string(), "not ready: serving");
//! # });
//! ```
//!
//! A process is *live* as long as it answers; that is all that liveness says here, since one that
//! depended on others would have the process restarted when they fail. It is *ready* while it
//! serves and all its checks pass: those that are [asked](Health::check), and the
//! [gates](Health::gate) that somebody opens and closes.
//!
//! [`Health::service`] answers `/livez` and `/readyz` over HTTP; [`Health::subscribe`] is what a
//! gRPC health service watches. All clones of a [`Health`] share one state.

mod check;
mod health;
mod report;
mod service;

pub use check::{Check, Gate};
pub use health::Health;
pub use report::{Checked, Report};
pub use service::HealthService;
