use crate::course::Advice;
use purlin_endpoint::{Answer, BoxError, Code, Error};
use std::{fmt, time::Duration};

/// What became of the earlier attempts, in an error that a retry or a hedge returns.
///
/// The error is the last attempt's own, or what a callback put in its place, and this is found in
/// it: `error.find::<Attempts>()`. A response that counted as a failure stands here as an error
/// with its code. It displays all of them, for the log: `last (previously: first; second)`.
#[derive(Debug)]
pub struct Attempts {
    earlier: Vec<Error>,
    last: String,
}

impl Attempts {
    /// What the earlier attempts failed with, in their order.
    pub fn earlier(&self) -> &[Error] {
        &self.earlier
    }

    /// Puts the earlier failures into the outcome of the last attempt, if it is an error.
    pub(crate) fn keep<Res, Err>(outcome: Result<Res, Err>, earlier: Vec<Error>) -> Result<Res, Err>
    where
        Err: Failure,
    {
        if earlier.is_empty() {
            return outcome;
        }
        outcome.map_err(|last| {
            let last: Error = last.into();
            let text = format!("{last:#}");
            Err::from(last.attach(Self { earlier, last: text }))
        })
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

/// An error that can say whether trying again may help: an [`Error`], or a box that may hold one.
///
/// A box that holds another error comes out as it was, unless there were several attempts: then it
/// is the source of an [`Error`], in which [`Attempts`] is found.
#[diagnostic::on_unimplemented(
    message = "a retry can't ask `{Self}` whether trying again may help",
    note = "services fail with `purlin_endpoint::Error` or `BoxError`: put `.map_err(BoxError::from)` around others"
)]
pub trait Failure: From<Error> + Into<Error> + Send + 'static {
    /// The error that it is or holds.
    fn error(&self) -> Option<&Error>;
}

impl Failure for Error {
    fn error(&self) -> Option<&Error> {
        Some(self)
    }
}

impl Failure for BoxError {
    fn error(&self) -> Option<&Error> {
        self.downcast_ref()
    }
}

/// A call or an attempt took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut {
    /// How long it had.
    pub after: Duration,
    /// Whether this was the time of one attempt, so that another may follow; else it was the call's.
    pub attempt: bool,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.attempt { "attempt" } else { "call" };
        write!(f, "no answer to the {what} within {:?}", self.after)
    }
}

impl std::error::Error for TimedOut {}

impl From<TimedOut> for Error {
    fn from(timed_out: TimedOut) -> Self {
        Self::new(Code::DeadlineExceeded, timed_out).retryable(timed_out.attempt)
    }
}

/// The failure of an earlier attempt, as it is remembered.
pub(crate) fn as_error<Res, Err: Failure>(outcome: Result<Res, Err>, advice: Advice) -> Error {
    outcome.map_or_else(Into::into, |_| Error::of(advice.code))
}

/// Makes a [`TimedOut`] the [`Error`] that every [`Failure`] can hold.
#[derive(Clone, Copy, Debug)]
pub struct AsFailure;

impl<Res, Err: Failure> Answer<TimedOut, Res, Err> for AsFailure {
    fn answer(&self, timed_out: TimedOut) -> Result<Res, Err> {
        Err(Error::from(timed_out).into())
    }
}
