//! Rate limits for calls.
