//! The layer conformance kit.
