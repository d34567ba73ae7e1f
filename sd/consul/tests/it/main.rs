//! What the crate promises, tried.

mod fake;
mod foreign;
mod queries;
mod registrations;
mod storms;
