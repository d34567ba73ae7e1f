//! The suites, and the table that says how they ended.

mod suites;
mod tls;
