use purlin_endpoint::{Identity, Peer};
use std::{
    future::{Ready, pending, ready},
    io,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// A place where connections arrive.
///
/// Taking a connection off the listener and preparing it are two steps. [`accept`](Self::accept)
/// runs in the accept loop, so it must not wait for the other side of a connection that it already
/// has. Whatever does wait, such as a TLS handshake, is the [`Handshake`](Self::Handshake): the
/// server runs it in the connection's own task and gives up on it after
/// [`handshake_timeout`](crate::Server::handshake_timeout).
///
/// It is implemented for [`TcpListener`] (which turns Nagle's algorithm off), `UnixListener`,
/// `UnixAccept` and [`MemoryAccept`](crate::MemoryAccept). A wrapper for TLS is a few lines:
///
/// ```
/// use purlin_endpoint::Peer;
/// use purlin_serve::Accept;
/// use std::{future::Future, io, pin::Pin};
///
/// struct Tls<A>(A);
/// # struct TlsStream<I>(I);
/// # async fn shake_hands<I>(io: I) -> io::Result<I> { Ok(io) }
///
/// impl<A: Accept> Accept for Tls<A> {
///     type Io = A::Io; // With a real TLS library: `TlsStream<A::Io>`.
///     type Handshake = Pin<Box<dyn Future<Output = io::Result<Self::Io>> + Send>>;
///
///     async fn accept(&mut self) -> io::Result<(Self::Handshake, Peer)> {
///         let (handshake, peer) = self.0.accept().await?;
///         Ok((Box::pin(async { shake_hands(handshake.await?).await }), peer))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not accept connections",
    note = "a TCP listener of tokio does, as do `purlin_serve::UnixAccept` and `purlin_serve::memory()`"
)]
pub trait Accept: Send {
    /// A connection that is ready to be read from and written to.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// What prepares an accepted connection.
    type Handshake: Future<Output = io::Result<Self::Io>> + Send + 'static;

    /// Waits for the next connection.
    ///
    /// The future may be dropped before it is ready, and must not lose a connection then.
    ///
    /// # Errors
    ///
    /// No error ends the server. After one that concerns a single connection it accepts the next
    /// at once; after any other it waits a moment first, longer each time.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Handshake, Peer)>> + Send;

    /// Ends when connections that were accepted before are not to go on, since what their handshakes
    /// have checked counts no more. By default it never does.
    ///
    /// The server asks anew each time that it has ended. It closes those connections gracefully:
    /// they answer what they have been asked, within
    /// [`age_grace`](crate::Server::age_grace), and take no more.
    fn outdated(&self) -> impl Future<Output = ()> + Send + 'static {
        pending()
    }

    /// Who the handshake has shown the other side to be. By default it has not.
    ///
    /// The server asks once for each connection, and adds the answer to every request on it.
    fn identity(_io: &Self::Io) -> Option<Identity> {
        None
    }
}

impl Accept for TcpListener {
    type Io = TcpStream;
    type Handshake = Ready<io::Result<TcpStream>>;

    async fn accept(&mut self) -> io::Result<(Self::Handshake, Peer)> {
        let (stream, address) = TcpListener::accept(self).await?;
        // A peer that is gone already makes this fail. That is found out on the first read.
        let _ = stream.set_nodelay(true);
        Ok((ready(Ok(stream)), Peer::Tcp(address)))
    }
}
