use crate::{Certificate, Handle, ServerTls, State, TlsError, store::Store};
use purlin_endpoint::{Identity, Peer};
use purlin_serve::Accept;
use rustls::server::Acceptor as Hello;
use std::{fmt, io, pin::Pin, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::Semaphore,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

/// Puts TLS around listeners. Clones share certificates and limits.
#[derive(Clone)]
pub struct Acceptor {
    store: Arc<Store<ServerTls>>,
    places: Arc<Semaphore>,
}

impl Acceptor {
    pub(crate) fn new(store: Arc<Store<ServerTls>>, limit: usize) -> Self {
        Self { store, places: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))) }
    }

    /// Speaks TLS on this listener. Its files are watched from the first connection on that is
    /// waited for, by a task that goes with the last clone and handle.
    pub fn accept<A: Accept>(&self, listener: A) -> TlsAccept<A> {
        TlsAccept { inner: listener, acceptor: self.clone() }
    }

    /// Calls this, in place of what was given before, after each reload: with what is in use from
    /// now on, or with why it stays what it was. The same trouble is told once.
    #[must_use]
    pub fn on_reload(
        self,
        tell: impl Fn(Result<&State, &TlsError>) + Send + Sync + 'static,
    ) -> Self {
        self.store.tell(Arc::new(tell));
        self
    }

    /// Reads the state, and has the files read.
    pub fn handle(&self) -> Handle {
        Handle::new("tls server", Arc::clone(&self.store))
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("state", &self.store.state()).finish_non_exhaustive()
    }
}

/// A listener whose connections speak TLS.
#[derive(Debug)]
pub struct TlsAccept<A> {
    inner: A,
    acceptor: Acceptor,
}

impl<A: Accept> Accept for TlsAccept<A> {
    type Io = TlsStream<A::Io>;
    type Handshake = Pin<Box<dyn Future<Output = io::Result<Self::Io>> + Send>>;

    async fn accept(&mut self) -> io::Result<(Self::Handshake, Peer)> {
        self.acceptor.store.watch();
        let (handshake, peer) = self.inner.accept().await?;
        let acceptor = self.acceptor.clone();
        Ok((Box::pin(async move { acceptor.shake_hands(handshake.await?).await }), peer))
    }

    fn outdated(&self) -> impl Future<Output = ()> + Send + 'static {
        let (judged, inner) = (self.acceptor.store.judged_anew(), self.inner.outdated());
        async move {
            tokio::select! {
                () = judged => {}
                () = inner => {}
            }
        }
    }

    fn identity(io: &Self::Io) -> Option<Identity> {
        // The handshake would not have ended if it were not genuine.
        let certificate = io.get_ref().1.peer_certificates()?.first()?;
        Certificate::read(certificate).ok().map(|certificate| certificate.identity)
    }
}

/// What the record of a handshake begins with.
const HANDSHAKE: u8 = 22;

impl Acceptor {
    async fn shake_hands<I>(&self, mut io: I) -> io::Result<TlsStream<I>>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let first = io.read_u8().await?;
        if first != HANDSHAKE {
            return Err(decline(io, first).await);
        }
        // It is never closed, so this always comes to a place.
        let _place = self.places.acquire().await.map_err(io::Error::other)?;
        let mut hello = Hello::default();
        hello.read_tls(&mut &[first][..])?;
        let begun = LazyConfigAcceptor::new(hello, io).await?;
        begun.into_stream(self.store.current()).await
    }
}

const TOLD: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain\r\ncontent-length: 30\r\nconnection: close\r\n\r\n\
    This port speaks TLS: https://";

/// Says to a client of plain HTTP what is wrong, and nothing to any other.
async fn decline<I: AsyncRead + AsyncWrite + Unpin>(mut io: I, first: u8) -> io::Error {
    if !first.is_ascii_uppercase() {
        return io::Error::new(io::ErrorKind::InvalidData, "the client does not speak TLS");
    }
    // What has come is taken off, lest closing reset the connection before the answer is read.
    let _ = io.read(&mut [0; 4096]).await;
    // Whether it is still there to read that makes no difference.
    let _ = io.write_all(TOLD).await;
    let _ = io.shutdown().await;
    io::Error::new(io::ErrorKind::InvalidData, "the client speaks plain HTTP where TLS is spoken")
}
