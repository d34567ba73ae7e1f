//! What the README shows is what happens, and what is told of a call is told everywhere.

mod access;
mod issuers;
mod page;
mod traces;
mod walk;
mod world;
