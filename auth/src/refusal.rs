use purlin_endpoint::{BoxError, Code, Error};
use std::{error, fmt};

/// The caller has not proved who it is: 401 in HTTP, `UNAUTHENTICATED` in gRPC.
///
/// The caller sees the challenge and no reason; the reason is the [source](error::Error::source).
#[derive(Debug)]
pub struct Unauthenticated {
    challenge: String,
    why: BoxError,
}

impl Unauthenticated {
    /// A refusal with this challenge, as in `WWW-Authenticate`, for this reason.
    pub fn new(challenge: impl Into<String>, why: impl Into<BoxError>) -> Self {
        Self { challenge: challenge.into(), why: why.into() }
    }

    /// What the caller is asked for: a value of `WWW-Authenticate`.
    pub fn challenge(&self) -> &str {
        &self.challenge
    }
}

impl fmt::Display for Unauthenticated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Code::Unauthenticated.describe())
    }
}

impl error::Error for Unauthenticated {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&*self.why)
    }
}

impl From<Unauthenticated> for Error {
    fn from(refusal: Unauthenticated) -> Self {
        Self::of(Code::Unauthenticated).unreached().caused_by(refusal)
    }
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
