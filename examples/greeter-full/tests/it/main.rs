//! What the README shows is what happens.

mod walk;
