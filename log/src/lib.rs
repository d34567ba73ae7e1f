//! Structured logs, one line per call.
