//! Checks and gates on a stopped clock, and what is said of them over HTTP.

mod checks;
mod http;
