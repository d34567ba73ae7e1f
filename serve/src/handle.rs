use crate::call::BoxError;
use purlin_endpoint::{Inspect, Peer};
use std::{
    error::Error,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// What a server is doing, read from outside. Clones read the same server.
///
/// ```
/// let server = purlin_serve::Server::new();
/// let handle = server.handle();
/// assert_eq!(handle.connections(), 0);
///
/// use purlin_endpoint::Inspect as _;
/// let numbers = r#"{"connections":0,"accepted":0,"accept_errors":0,"timeouts":0,"floods":0}"#;
/// assert_eq!(handle.snapshot(), numbers);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Handle(pub(crate) Arc<Counters>);

impl Handle {
    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.0.open.load(Relaxed)
    }

    /// How many connections have been accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Relaxed)
    }

    /// How often accepting has failed since the start.
    pub fn accept_errors(&self) -> u64 {
        self.0.accept_errors.load(Relaxed)
    }

    /// How many connections have been closed because their peer took too long: over the handshake,
    /// the first byte or a head, without a call, or taking what was sent.
    pub fn timeouts(&self) -> u64 {
        self.0.timeouts.load(Relaxed)
    }

    /// How many HTTP/2 connections have been closed because their peer sent too many frames that
    /// asked for nothing.
    pub fn floods(&self) -> u64 {
        self.0.floods.load(Relaxed)
    }
}

/// Shows its numbers as one JSON object.
impl Inspect for Handle {
    fn name(&self) -> String {
        "serve".to_owned()
    }

    fn snapshot(&self) -> String {
        format!(
            r#"{{"connections":{},"accepted":{},"accept_errors":{},"timeouts":{},"floods":{}}}"#,
            self.connections(),
            self.accepted(),
            self.accept_errors(),
            self.timeouts(),
            self.floods()
        )
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    open: AtomicUsize,
    pub(crate) accepted: AtomicU64,
    pub(crate) accept_errors: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) floods: AtomicU64,
}

/// An open connection. It is counted until this is dropped.
pub(crate) struct Open(Arc<Counters>);

impl Open {
    pub(crate) fn new(counters: &Arc<Counters>) -> Self {
        counters.accepted.fetch_add(1, Relaxed);
        counters.open.fetch_add(1, Relaxed);
        Self(Arc::clone(counters))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// How a server ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// How many of the connections that were open at shutdown ended in time.
    pub finished: usize,
    /// How many were cut off when the drain's time was over.
    pub cut: usize,
    /// How long the drain took.
    pub took: Duration,
}

/// Something went wrong that the server has survived.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// The next connection could not be accepted.
    Accept(io::Error),
    /// A connection could not be prepared.
    Handshake {
        /// Where the connection comes from.
        peer: Peer,
        /// What went wrong.
        source: io::Error,
    },
    /// A connection was lost or broke the protocol, or the service failed on it.
    Connection {
        /// Where the connection comes from.
        peer: Peer,
        /// What went wrong.
        source: BoxError,
    },
    /// An HTTP/2 connection was closed because its peer sent too many frames that asked for nothing.
    Flooded {
        /// Where the connection comes from.
        peer: Peer,
    },
    /// The service panicked, and took its connection down.
    Panicked,
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept(_) => f.write_str("could not accept a connection"),
            Self::Handshake { peer, .. } => write!(f, "the handshake with {peer} failed"),
            Self::Connection { peer, .. } => write!(f, "the connection from {peer} failed"),
            Self::Flooded { peer } => write!(f, "the connection from {peer} was a flood"),
            Self::Panicked => f.write_str("a service panicked and took its connection down"),
        }
    }
}

impl Error for ServeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Accept(source) | Self::Handshake { source, .. } => Some(source),
            Self::Connection { source, .. } => Some(&**source),
            Self::Flooded { .. } | Self::Panicked => None,
        }
    }
}
