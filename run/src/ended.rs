use crate::Signal;
use std::{borrow::Cow, error::Error, fmt, time::Duration};

/// Any error, boxed.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What an actor may return: nothing, or a result of nothing.
pub trait Outcome: Send + 'static {
    /// Whether it failed, and with what.
    fn into_result(self) -> Result<(), BoxError>;
}

impl Outcome for () {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError> + Send + 'static> Outcome for Result<(), E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

/// Why an actor, or a step of the stop, has ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reason {
    /// It returned.
    Completed,
    /// It returned this error.
    Failed(BoxError),
    /// It panicked with this text.
    Panicked(String),
    /// This signal came. Only the actor called `signals` ends so.
    Signalled(Signal),
    /// It had not ended when this time was over, and was aborted.
    Aborted(Duration),
}

impl Reason {
    /// Whether it ended as it should: by itself, without an error, or by a signal.
    pub fn is_fine(&self) -> bool {
        matches!(self, Self::Completed | Self::Signalled(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("completed"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Panicked(text) => write!(f, "panicked: {text}"),
            Self::Signalled(signal) => write!(f, "received {signal}"),
            Self::Aborted(limit) => write!(f, "did not end within {limit:?} and was aborted"),
        }
    }
}

/// An actor, or a step of the stop, that has ended.
#[derive(Debug)]
pub struct Ended {
    pub(crate) actor: Cow<'static, str>,
    pub(crate) reason: Reason,
}

impl Ended {
    /// Its name, as it was given.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// Why it ended.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}

/// Writes `http failed: the address is in use`.
impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.actor, self.reason)
    }
}

impl Error for Ended {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.reason {
            Reason::Failed(error) => error.source(),
            _ => None,
        }
    }
}

/// A group that has stopped.
#[derive(Debug)]
pub struct Stopped {
    pub(crate) first: Ended,
    pub(crate) rest: Vec<Ended>,
}

impl Stopped {
    /// The actor that ended first, for which the group has stopped.
    pub fn first(&self) -> &Ended {
        &self.first
    }

    /// Everything that ended, in its order: the first actor, the steps of the stop, the others.
    pub fn all(&self) -> Vec<&Ended> {
        std::iter::once(&self.first).chain(&self.rest).collect()
    }

    /// What `main` returns: nothing, or the first that did not end as it should.
    ///
    /// # Errors
    ///
    /// If anything failed, panicked or had to be aborted.
    pub fn into_result(self) -> Result<(), Ended> {
        let mut all = std::iter::once(self.first).chain(self.rest);
        all.find(|ended| !ended.reason.is_fine()).map_or(Ok(()), Err)
    }
}
