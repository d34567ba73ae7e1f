use purlin_endpoint::{Code, Error};
use purlin_sd::Instance;
use std::{error::Error as StdError, fmt, sync::Arc};

/// What was seen, filtered and picked for a call: for a span, a log line, or the admin page.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// By which rule: `peak ewma`.
    pub rule: &'static str,
    /// How many instances the registry knows.
    pub seen: usize,
    /// How many of these a filter, the subset or their weight kept out.
    pub filtered: usize,
    /// How many of the others are not well.
    pub unwell: usize,
    /// Whether so few were well that all were considered.
    pub panic: bool,
    /// Which one it was.
    pub picked: Arc<Instance>,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, seen, filtered, unwell, panic, picked } = self;
        let panic = if *panic { ", panic" } else { "" };
        write!(
            f,
            "{} by {rule} (seen {seen}, filtered {filtered}, unwell {unwell}{panic})",
            picked.id
        )
    }
}

/// There is no instance to call.
#[derive(Clone, Debug)]
pub struct NoEndpoints {
    /// How many instances the registry knows.
    pub seen: usize,
    /// How many of these a filter or the subset kept out.
    pub filtered: usize,
    /// For how many there is nothing to call them with, since their factory failed.
    pub failed: usize,
    /// Whether the registry has answered at all.
    pub known: bool,
    /// What is wrong with the registry, if something is.
    pub registry: Option<Arc<Error>>,
}

impl fmt::Display for NoEndpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seen, filtered, failed, known, registry } = self;
        if *known {
            write!(
                f,
                "of {seen} instances {filtered} are filtered and {failed} failed to be set up"
            )?;
        } else {
            f.write_str("the registry has not answered yet")?;
        }
        match registry {
            Some(error) => write!(f, "; the registry is in trouble: {error}"),
            None => Ok(()),
        }
    }
}

impl StdError for NoEndpoints {}

/// `UNAVAILABLE`, and the call has reached nobody.
impl From<NoEndpoints> for Error {
    fn from(none: NoEndpoints) -> Self {
        // What is known of registries and instances is nothing that a caller should read.
        Self::of(Code::Unavailable).public("no instance can be called").caused_by(none).unreached()
    }
}
