//! Concurrency limits for calls.
