//! What the crate promises, tried.

mod conformance;
mod endpoints;
mod file;
