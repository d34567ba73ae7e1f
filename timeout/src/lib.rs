//! Time limits for calls.
