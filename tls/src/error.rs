use purlin_endpoint::Invalid;
use rustls::pki_types::pem;
use std::{error::Error, fmt, io, path::PathBuf, time::SystemTime};

/// Why certificates can't be used.
///
/// Each names the file, or says that it was a given text.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The configuration contradicts itself.
    Invalid(Invalid),
    /// A file can't be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// This is not PEM, or not all of it.
    Malformed {
        /// The file.
        what: String,
        /// Why.
        source: pem::Error,
    },
    /// There is nothing of the kind in it.
    Empty {
        /// The file.
        what: String,
        /// What it should hold: `certificate`.
        kind: &'static str,
    },
    /// The key is not the certificate's, as when only one of two files has been replaced yet.
    Mismatched {
        /// The file with the certificate.
        certificate: String,
        /// The file with the key.
        key: String,
    },
    /// A certificate's time is over.
    Expired {
        /// The file.
        what: String,
        /// Since when.
        not_after: SystemTime,
    },
    /// A certificate's time has not come.
    NotYetValid {
        /// The file.
        what: String,
        /// When it will.
        not_before: SystemTime,
    },
    /// The certificates, the key or the revocation lists are not what TLS can use.
    Unfit {
        /// The file.
        what: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl TlsError {
    pub(crate) fn unfit(what: &impl ToString, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Unfit { what: what.to_string(), source: Box::new(source) }
    }
}

impl From<Invalid> for TlsError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::Unreadable { file, source } => {
                write!(f, "{} can't be read: {source}", file.display())
            }
            Self::Malformed { what, source } => write!(f, "{what} is not PEM: {source}"),
            Self::Empty { what, kind } => write!(f, "{what} holds no {kind}"),
            Self::Mismatched { certificate, key } => {
                write!(f, "the key in {key} is not that of the certificate in {certificate}")
            }
            Self::Expired { what, .. } => write!(f, "a certificate in {what} has expired"),
            Self::NotYetValid { what, .. } => {
                write!(f, "a certificate in {what} is not valid yet")
            }
            Self::Unfit { what, source } => write!(f, "{what} is of no use: {source}"),
        }
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Invalid(invalid) => Some(invalid),
            Self::Unreadable { source, .. } => Some(source),
            Self::Malformed { source, .. } => Some(source),
            Self::Unfit { source, .. } => Some(&**source),
            _ => None,
        }
    }
}
