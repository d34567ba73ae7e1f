use crate::course::Advice;
use purlin_endpoint::{Answer, Attempts, BoxError, Code, Error};
use std::{fmt, time::Duration};

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

/// The outcome of the last attempt, with the failures of the earlier ones if it is an error.
pub(crate) fn keep<Res, Err: Failure>(
    outcome: Result<Res, Err>,
    earlier: Vec<Error>,
) -> Result<Res, Err> {
    // What has failed once only comes out as it was: a box that holds a foreign error too.
    if earlier.is_empty() {
        return outcome;
    }
    outcome.map_err(|last| Attempts::keep(earlier, last.into()).into())
}

/// Makes a [`TimedOut`] the [`Error`] that every [`Failure`] can hold.
#[derive(Clone, Copy, Debug)]
pub struct AsFailure;

impl<Res, Err: Failure> Answer<TimedOut, Res, Err> for AsFailure {
    fn answer(&self, timed_out: TimedOut) -> Result<Res, Err> {
        Err(Error::from(timed_out).into())
    }
}
