//! The endpoint's tests.

mod boxed;
mod conformance;
mod ends;
mod go_kit;
mod intercept;
mod notes;
mod panics;
mod stacks;
mod ui;
