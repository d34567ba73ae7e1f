use crate::Error;
use std::fmt;

/// What became of the earlier attempts, in the error of a call that was tried several times.
///
/// The error is the last attempt's own, or what was put in its place, and this is found in it, by
/// whoever tells of the call: a log line, a test. It displays all of them:
/// `last (previously: first; second)`.
///
/// ```
/// use purlin_endpoint::{Attempts, Code, Error};
///
/// let [first, last] = ["first", "last"].map(|text| Error::new(Code::Unavailable, text));
/// let error = Attempts::keep(vec![first], last);
/// assert_eq!(error.message(), "last");
/// let attempts = error.find::<Attempts>().unwrap();
/// assert_eq!((attempts.made(), attempts.to_string().as_str()), (2, "last (previously: first)"));
/// ```
#[derive(Debug)]
pub struct Attempts {
    earlier: Vec<Error>,
    last: String,
}

impl Attempts {
    /// Puts what the earlier attempts failed with into the error of the last one. If there were
    /// none, it stays as it is.
    #[must_use]
    pub fn keep(earlier: Vec<Error>, last: Error) -> Error {
        if earlier.is_empty() {
            return last;
        }
        let text = format!("{last:#}");
        last.attach(Self { earlier, last: text })
    }

    /// What the earlier attempts failed with, in their order.
    pub fn earlier(&self) -> &[Error] {
        &self.earlier
    }

    /// How many attempts were made in all.
    pub fn made(&self) -> usize {
        self.earlier.len() + 1
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (previously: ", self.last)?;
        for (index, error) in self.earlier.iter().enumerate() {
            let gap = if index == 0 { "" } else { "; " };
            write!(f, "{gap}{error:#}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for Attempts {}
