use purlin_endpoint::{BoxError, Challenge, Code, Error};
use std::{error, fmt};

/// The caller has not proved who it is: 401 in HTTP, `UNAUTHENTICATED` in gRPC. Or nobody could tell
/// just now: 503 and `UNAVAILABLE`.
///
/// The caller sees the challenge and no reason; the reason is the [source](error::Error::source).
#[derive(Debug)]
pub struct Unauthenticated {
    /// `None` if nobody could tell.
    challenge: Option<String>,
    why: BoxError,
}

impl Unauthenticated {
    /// A refusal with this challenge, as in `WWW-Authenticate`, for this reason.
    pub fn new(challenge: impl Into<String>, why: impl Into<BoxError>) -> Self {
        Self { challenge: Some(challenge.into()), why: why.into() }
    }

    /// A refusal since nobody could tell who calls, for this reason. Trying again may help.
    pub fn undecided(why: impl Into<BoxError>) -> Self {
        Self { challenge: None, why: why.into() }
    }

    /// What the caller is asked for: a value of `WWW-Authenticate`. `None` if nobody could tell.
    pub fn challenge(&self) -> Option<&str> {
        self.challenge.as_deref()
    }

    fn code(&self) -> Code {
        if self.challenge.is_some() { Code::Unauthenticated } else { Code::Unavailable }
    }
}

impl fmt::Display for Unauthenticated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code().describe())
    }
}

impl error::Error for Unauthenticated {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&*self.why)
    }
}

impl From<Unauthenticated> for Error {
    fn from(refusal: Unauthenticated) -> Self {
        let error = Self::of(refusal.code()).unreached();
        let error = match refusal.challenge() {
            Some(challenge) => error.attach(Challenge(challenge.to_owned().into())),
            None => error,
        };
        error.caused_by(refusal)
    }
}

/// A text as a quoted string of a header. What no header can hold is left out.
#[cfg(any(feature = "basic", feature = "jwt"))]
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars().filter(|char| matches!(char, ' '..='~')) {
        if matches!(char, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(char);
    }
    quoted.push('"');
    quoted
}

/// The caller is known and may not do this: 403 in HTTP, `PERMISSION_DENIED` in gRPC.
///
/// The caller sees no reason; the reason is the [source](error::Error::source).
#[derive(Debug)]
pub struct Denied {
    why: BoxError,
}

impl Denied {
    /// A refusal for this reason.
    pub fn new(why: impl Into<BoxError>) -> Self {
        Self { why: why.into() }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Code::PermissionDenied.describe())
    }
}

impl error::Error for Denied {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&*self.why)
    }
}

impl From<Denied> for Error {
    fn from(refusal: Denied) -> Self {
        Self::of(Code::PermissionDenied).unreached().caused_by(refusal)
    }
}
