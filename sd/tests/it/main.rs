//! What the crate promises, tried.

mod conformance;
mod discovery;
mod endpoints;
mod file;
mod seeds;
