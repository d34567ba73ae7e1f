//! What the crate promises, tried.

mod foreign;
mod options;
