//! Any [`Connect`] as hyper takes it: erased, timed, and under TLS where the URI says so.

use crate::{Connect, ConnectError, error::BoxError};
use http::{Uri, uri::Scheme};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// `host:port`, with the scheme's port if none is given.
pub(crate) fn address(uri: &Uri) -> String {
    let port = uri.port_u16().unwrap_or(match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => 443,
        _ => 80,
    });
    format!("{}:{port}", uri.host().unwrap_or_default())
}

/// Connects in time, with TLS where the URI says so.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) dial: Dial,
    pub(crate) timeout: Duration,
    #[cfg(feature = "rustls")]
    pub(crate) tls: Result<Arc<rustls::ClientConfig>, rustls::Error>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Wire>;
    type Error = ConnectError;
    type Future = BoxFuture<Result<TokioIo<Wire>, ConnectError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let address = address(&uri);
            let connecting = connector.connect(uri);
            match tokio::time::timeout(connector.timeout, connecting).await {
                Ok(Ok(wire)) => Ok(wire),
                Ok(Err(source)) => Err(ConnectError { address, source: source.into() }),
                Err(_elapsed) => {
                    let late = format!("no connection within {:?}", connector.timeout);
                    let source = Arc::new(io::Error::new(io::ErrorKind::TimedOut, late));
                    Err(ConnectError { address, source })
                }
            }
        })
    }
}

impl Connector {
    #[cfg(not(feature = "rustls"))]
    async fn connect(&self, uri: Uri) -> Result<TokioIo<Wire>, BoxError> {
        if uri.scheme() == Some(&Scheme::HTTPS) && !self.dial.0.is_secure() {
            let why = "`https` needs a `Connect` that is secure, or the feature `rustls`";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why).into());
        }
        Ok(self.dial.clone().call(uri).await?)
    }

    #[cfg(feature = "rustls")]
    async fn connect(&self, uri: Uri) -> Result<TokioIo<Wire>, BoxError> {
        if uri.scheme() != Some(&Scheme::HTTPS) || self.dial.0.is_secure() {
            return Ok(self.dial.clone().call(uri).await?);
        }
        let mut connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(rustls::ClientConfig::clone(&*self.tls.clone()?))
            .https_only()
            .enable_all_versions()
            .wrap_connector(self.dial.clone());
        let stream = connector.call(uri).await?;
        let http2 = stream.connected().is_negotiated_h2();
        Ok(TokioIo::new(Wire { io: Box::new(TokioIo::new(stream)), http2 }))
    }
}

/// A [`Connect`] of any type.
#[derive(Clone)]
pub(crate) struct Dial(pub(crate) Arc<dyn ErasedConnect>);

impl Dial {
    pub(crate) fn new(connect: impl Connect) -> Self {
        Self(Arc::new(connect))
    }
}

impl Service<Uri> for Dial {
    type Response = TokioIo<Wire>;
    type Error = io::Error;
    type Future = BoxFuture<io::Result<TokioIo<Wire>>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Arc::clone(&self.0).dial(uri)
    }
}

pub(crate) trait ErasedConnect: Send + Sync {
    fn dial(self: Arc<Self>, uri: Uri) -> BoxFuture<io::Result<TokioIo<Wire>>>;
    fn is_secure(&self) -> bool;
    fn generation(&self) -> u64;
}

impl<C: Connect> ErasedConnect for C {
    fn dial(self: Arc<Self>, uri: Uri) -> BoxFuture<io::Result<TokioIo<Wire>>> {
        Box::pin(async move {
            let io = self.connect(&uri).await?;
            let http2 = C::has_chosen_http2(&io);
            Ok(TokioIo::new(Wire { io: Box::new(io), http2 }))
        })
    }

    fn is_secure(&self) -> bool {
        Connect::is_secure(self)
    }

    fn generation(&self) -> u64 {
        Connect::generation(self)
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<I: AsyncRead + AsyncWrite + Unpin + Send> Duplex for I {}

/// A connection of any type.
pub(crate) struct Wire {
    io: Box<dyn Duplex>,
    http2: bool,
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        let connected = Connected::new();
        if self.http2 { connected.negotiated_h2() } else { connected }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
