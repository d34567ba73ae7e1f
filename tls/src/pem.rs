use std::{fmt, path::PathBuf};

/// Certificates, keys or revocation lists in PEM.
///
/// In a configuration file it is `{"file": "ca.pem"}` or `{"text": "-----BEGIN …"}`.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Pem {
    /// In a file, which is watched.
    File(PathBuf),
    /// Here.
    Text(String),
}

impl Pem {
    /// What is in this file now, and what will be.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(path.into())
    }

    /// This text itself.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// The file's path.
impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Text(_) => f.write_str("a given text"),
        }
    }
}

/// The file's path. A text may be a key, and is not shown.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.debug_tuple("Text").finish_non_exhaustive(),
        }
    }
}

/// A certificate with its private key, to show to the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Credentials {
    pub(crate) certificate: Pem,
    pub(crate) key: Pem,
}

impl Credentials {
    /// A certificate, with the chain of its issuers behind it, and its key in PKCS#8, PKCS#1 or
    /// SEC1.
    pub fn new(certificate: Pem, key: Pem) -> Self {
        Self { certificate, key }
    }

    /// Both in files.
    pub fn files(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self::new(Pem::file(certificate), Pem::file(key))
    }
}
