//! What the crate does, seen from outside.

mod credentials;
#[cfg(feature = "rbac")]
mod rbac;
