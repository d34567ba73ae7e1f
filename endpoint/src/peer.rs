use std::{fmt, net::SocketAddr};

/// Where a call came from, or where it went.
///
/// A connection has one peer; every call on it has the same. It says how the bytes travelled and
/// nothing about who sent them: identity comes from the authenticating layer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// A TCP connection, with the address of the other side.
    Tcp(SocketAddr),
    /// A Unix domain socket. Its other side usually has no name.
    Unix,
    /// A pair of pipes inside this process.
    Memory,
}

impl Peer {
    /// The other side's address, if it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix | Self::Memory => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
            Self::Memory => f.write_str("memory"),
        }
    }
}
