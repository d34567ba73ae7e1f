//! What the breaker is synchronized by: a test puts loom's model of it in its place.

pub(crate) use std::sync::{Mutex, atomic::AtomicU64};
