//! What all servers of this crate share: the messages and the business.

use serde::{Deserialize, Serialize};

/// The query of `GET /greeting`.
#[derive(Deserialize)]
pub(super) struct Name {
    pub name: String,
}

/// The body of the answer.
#[derive(Serialize)]
pub(super) struct Greeting {
    pub greeting: String,
}

pub(super) fn greet(name: &str) -> String {
    format!("Hello, {name}!")
}
