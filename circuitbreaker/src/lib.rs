//! Circuit breakers for calls.
