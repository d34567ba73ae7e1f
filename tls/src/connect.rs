use crate::{ClientTls, Handle, State, TlsError, store::Store};
use http::{Uri, uri::Scheme};
use purlin_http_client::Connect;
use rustls::{InvalidMessage, pki_types::ServerName};
use std::{fmt, io, sync::Arc};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Puts TLS around ways to connect. Clones share certificates.
#[derive(Clone)]
pub struct Connector {
    store: Arc<Store<ClientTls>>,
    name: Option<ServerName<'static>>,
}

impl Connector {
    pub(crate) fn new(store: Arc<Store<ClientTls>>, name: Option<ServerName<'static>>) -> Self {
        Self { store, name }
    }

    /// Speaks TLS on connections that are made in this way. Its files are watched from the first
    /// one on, by a task that goes with the last clone and handle.
    pub fn over<C: Connect>(&self, connect: C) -> TlsConnect<C> {
        TlsConnect { inner: connect, connector: self.clone() }
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
        Handle::new("tls client", Arc::clone(&self.store))
    }

    /// Whose certificate the server must have.
    fn name(&self, uri: &Uri) -> io::Result<ServerName<'static>> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        ServerName::try_from(host.to_owned()).map_err(|_| {
            let why = format!("{host:?} is no name that a certificate could be for");
            io::Error::new(io::ErrorKind::InvalidInput, why)
        })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("state", &self.store.state()).finish_non_exhaustive()
    }
}

/// A way to connect that speaks TLS, for URIs with `https`; any with `http` is refused.
#[derive(Clone, Debug)]
pub struct TlsConnect<C> {
    inner: C,
    connector: Connector,
}

impl<C: Connect> Connect for TlsConnect<C> {
    type Io = TlsStream<C::Io>;

    async fn connect(&self, uri: &Uri) -> io::Result<Self::Io> {
        if uri.scheme() == Some(&Scheme::HTTP) {
            // Whoever wants TLS must not go without it for the want of a letter.
            let why = "the URI says `http`, and TLS is spoken here: write `https`";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let Connector { store, .. } = &self.connector;
        store.watch();
        let name = self.connector.name(uri)?;
        let io = self.inner.connect(uri).await?;
        let shaken = TlsConnector::from(store.current()).connect(name, io).await;
        shaken.map_err(plainly)
    }

    fn has_chosen_http2(io: &Self::Io) -> bool {
        io.get_ref().1.alpn_protocol() == Some(b"h2")
    }

    fn is_secure(&self) -> bool {
        true
    }

    fn generation(&self) -> u64 {
        self.connector.store.generation()
    }
}

/// Says in words what a server does that answers with something else.
fn plainly(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            io::Error::new(io::ErrorKind::InvalidData, "the server does not speak TLS")
        }
        _ => error,
    }
}
