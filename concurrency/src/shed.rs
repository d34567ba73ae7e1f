use purlin_endpoint::{Code, Error};
use std::fmt;

/// The call was not let in. The inner service has not seen it.
///
/// As an [`Error`] it is `UNAVAILABLE`, which is HTTP's 503: it is the service that has no room, not
/// the caller who has asked for too much (that would be 429), and another instance may have some,
/// so a retry with a budget may help. A call whose deadline has passed is `DEADLINE_EXCEEDED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// There was no room to run, and none to wait.
    Full,
    /// A more critical call took its place in the queue.
    Displaced,
    /// It waited as long as the [patience](crate::ConcurrencyLimit::patience) allows.
    Waited,
    /// Its deadline passed before there was room.
    Expired,
}

impl fmt::Display for Shed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too many calls are in flight",
            Self::Displaced => "more critical calls are waiting",
            Self::Waited => "too many calls were in flight for too long",
            Self::Expired => "the deadline passed before there was room for the call",
        })
    }
}

impl std::error::Error for Shed {}

impl From<Shed> for Error {
    fn from(shed: Shed) -> Self {
        let code = match shed {
            Shed::Full | Shed::Displaced | Shed::Waited => Code::Unavailable,
            Shed::Expired => Code::DeadlineExceeded,
        };
        Self::new(code, shed).unreached()
    }
}
