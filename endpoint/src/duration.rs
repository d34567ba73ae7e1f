//! Durations as texts such as "250ms", for the fields of configurations.
//!
//! ```
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     #[serde(with = "purlin_endpoint::duration")]
//!     patience: std::time::Duration,
//! }
//!
//! let config: Config = serde_json::from_str(r#"{"patience": "1m 30s"}"#).unwrap();
//! assert_eq!(config.patience.as_secs(), 90);
//! ```

use serde::{Deserialize as _, Deserializer, Serializer};
use std::{borrow::Cow, time::Duration};

/// Writes a duration as a text.
///
/// # Errors
///
/// What the format says.
pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&humantime::format_duration(*duration))
}

/// Reads a duration from a text.
///
/// # Errors
///
/// What is no duration; the text is named.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse(&Cow::<str>::deserialize(from)?)
}

fn parse<E: serde::de::Error>(text: &str) -> Result<Duration, E> {
    humantime::parse_duration(text).map_err(|error| {
        E::custom(format_args!("{text:?} is no duration such as \"250ms\": {error}"))
    })
}

/// The same for a duration that may be absent.
pub mod option {
    use super::*;

    /// Writes a duration as a text, and an absent one as nothing.
    ///
    /// # Errors
    ///
    /// What the format says.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => to.serialize_some(&humantime::format_duration(*duration).to_string()),
            None => to.serialize_none(),
        }
    }

    /// Reads a duration from a text, or nothing.
    ///
    /// # Errors
    ///
    /// What is no duration; the text is named.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Option::<Cow<'_, str>>::deserialize(from)?.map(|text| parse(&text)).transpose()
    }
}
