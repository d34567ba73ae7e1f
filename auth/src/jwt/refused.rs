use std::{error, fmt};

/// Why a token was not accepted. It is for the log; its caller is told nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// There is no bearer token, or more than one.
    Missing,
    /// It is no token, or holds something that no token may hold: what it is and why.
    Malformed(String),
    /// Its algorithm is not one of those that the verifier was told.
    Algorithm(String),
    /// It is a token of another type, such as one for logging out.
    Type(String),
    /// It is of another issuer, or names none.
    Issuer,
    /// It is for somebody else.
    Audience,
    /// It names no end, or its end is past.
    Expired,
    /// Its time has not come.
    TooEarly,
    /// No key fits it: the key that it names, if it names one.
    UnknownKey(Option<String>),
    /// Its signature is wrong.
    Signature,
    /// It is good, but its claims are not what the program expects.
    Claims(String),
}

impl Refused {
    #[cold]
    pub(crate) fn malformed(part: &str, why: &dyn fmt::Display) -> Self {
        Self::Malformed(format!("{part}: {why}"))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is not one bearer token"),
            Self::Malformed(why) => write!(f, "the token is malformed: {why}"),
            Self::Algorithm(name) => write!(f, "the token's algorithm {name:?} is not accepted"),
            Self::Type(name) => write!(f, "the token's type {name:?} is not accepted"),
            Self::Issuer => f.write_str("the token is of another issuer"),
            Self::Audience => f.write_str("the token is for another audience"),
            Self::Expired => f.write_str("the token has expired"),
            Self::TooEarly => f.write_str("the token is not valid yet"),
            Self::UnknownKey(Some(id)) => write!(f, "the token's key {id:?} is not known"),
            Self::UnknownKey(None) => f.write_str("no single key fits the token"),
            Self::Signature => f.write_str("the token's signature is wrong"),
            Self::Claims(why) => write!(f, "the token's claims are not as expected: {why}"),
        }
    }
}

impl error::Error for Refused {}
