//! What the crate promises, tried.

mod calls;
mod health;
mod rules;
mod world;
