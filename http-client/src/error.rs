use std::{error, fmt, io, sync::Arc, time::Duration};

pub(crate) type BoxError = Box<dyn error::Error + Send + Sync>;

/// Why an exchange failed. Every variant names the address, as in the request's URI.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The server was never reached. Trying again cannot do anything twice.
    Connect(ConnectError),
    /// The exchange took longer than [`timeout`](crate::HttpClient::timeout). The server may have
    /// acted on it.
    TimedOut {
        /// Whom the request was for.
        address: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The connection was lost, or the other side broke the protocol, before the head of the
    /// response had come. The server may have acted on the request.
    Exchange {
        /// Whom the request was for.
        address: String,
        /// What went wrong.
        source: BoxError,
    },
    /// The body of the request could not be produced, or the body of the response broke off.
    Body {
        /// Whom the request was for.
        address: String,
        /// What went wrong.
        source: BoxError,
    },
    /// The body of the response is larger than the limit.
    TooLarge {
        /// Whom the request was for.
        address: String,
        /// The limit, in bytes.
        limit: usize,
    },
}

impl Error {
    /// Whom the request was for: `host:port`, or what the URI has of it.
    pub fn address(&self) -> &str {
        match self {
            Self::Connect(error) => &error.address,
            Self::TimedOut { address, .. }
            | Self::Exchange { address, .. }
            | Self::Body { address, .. }
            | Self::TooLarge { address, .. } => address,
        }
    }

    /// Whether the server was never reached, so that trying again is always safe.
    pub fn is_connect(&self) -> bool {
        matches!(self, Self::Connect(_))
    }

    /// Whether time ran out, while connecting or later.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_timeout(),
            Self::TimedOut { .. } => true,
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::TimedOut { address, after } => write!(f, "{address} took longer than {after:?}"),
            Self::Exchange { address, .. } => write!(f, "the exchange with {address} failed"),
            Self::Body { address, .. } => {
                write!(f, "a body of the exchange with {address} broke off")
            }
            Self::TooLarge { address, limit } => {
                write!(f, "the response of {address} is larger than {limit} bytes")
            }
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Connect(error) => error.source(),
            Self::Exchange { source, .. } | Self::Body { source, .. } => Some(&**source),
            Self::TimedOut { .. } | Self::TooLarge { .. } => None,
        }
    }
}

/// No connection could be made: the address is unknown or unreachable, nobody listens there, the
/// TLS handshake failed, or it took longer than
/// [`connect_timeout`](crate::HttpClient::connect_timeout).
#[derive(Clone, Debug)]
pub struct ConnectError {
    pub(crate) address: String,
    /// Shared, so that it can be taken out of the errors that hyper wraps around it.
    pub(crate) source: Arc<dyn error::Error + Send + Sync>,
}

impl ConnectError {
    /// Whom the request was for.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it took too long.
    pub fn is_timeout(&self) -> bool {
        self.kind() == Some(io::ErrorKind::TimedOut)
    }

    /// What kind of I/O error it was, if it was one.
    pub fn kind(&self) -> Option<io::ErrorKind> {
        let mut cause: Option<&(dyn error::Error + 'static)> = Some(&*self.source);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return Some(error.kind());
            }
            cause = error.source();
        }
        None
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not connect to {}", self.address)
    }
}

impl error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&*self.source)
    }
}
