use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use std::{error::Error as _, fmt, io};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tower_service::Service;

/// Makes connections, for [`HttpClient::over`](crate::HttpClient::over).
///
/// ```
/// use http::Uri;
/// use purlin_http_client::{Connect, HttpClient};
/// use std::io;
/// use tokio::net::TcpStream;
///
/// /// Connects to a proxy, whoever the request is for.
/// #[derive(Clone)]
/// struct Sidecar;
///
/// impl Connect for Sidecar {
///     type Io = TcpStream;
///
///     async fn connect(&self, _uri: &Uri) -> io::Result<TcpStream> {
///         TcpStream::connect("127.0.0.1:15001").await
///     }
/// }
///
/// let client = HttpClient::over(Sidecar);
/// # let _ = client;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not make connections",
    note = "`purlin_http_client::connect_fn` makes a connector of a function from a URI to a connection"
)]
pub trait Connect: Send + Sync + 'static {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects to the host of a URI.
    ///
    /// Connections are pooled by the URI's scheme and authority. The client limits the time.
    ///
    /// # Errors
    ///
    /// Whatever it fails with becomes the source of a [`ConnectError`](crate::ConnectError).
    fn connect(&self, uri: &Uri) -> impl Future<Output = io::Result<Self::Io>> + Send;

    /// Whether the other side has chosen HTTP/2, as in a TLS handshake. By default it has not.
    fn has_chosen_http2(_io: &Self::Io) -> bool {
        false
    }

    /// Whether its connections are secure by themselves, so that `https` adds nothing to them. By
    /// default they are not.
    fn is_secure(&self) -> bool {
        false
    }

    /// Counts up when the connections made until now are to be given no more calls, as after a
    /// change of certificates. By default it never does.
    ///
    /// Calls in progress go on, and their connections are closed behind them. It is asked for every
    /// call.
    fn generation(&self) -> u64 {
        0
    }
}

/// Connects by TCP.
///
/// A name is looked up by the system, and IPv6 and IPv4 are tried together (RFC 6555). Nagle's
/// algorithm is off.
#[derive(Clone)]
pub struct Tcp(HttpConnector);

impl Tcp {
    /// Connects to the host and port of the URI. The port is 80, or 443 for `https`, unless given.
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        // The client deals with `https`.
        connector.enforce_http(false);
        connector.set_nodelay(true);
        Self(connector)
    }
}

impl Default for Tcp {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tcp")
    }
}

impl Connect for Tcp {
    type Io = TcpStream;

    async fn connect(&self, uri: &Uri) -> io::Result<TcpStream> {
        let mut connector = self.0.clone();
        std::future::poll_fn(|cx| connector.poll_ready(cx)).await.map_err(io::Error::other)?;
        match connector.call(uri.clone()).await {
            Ok(stream) => Ok(stream.into_inner()),
            Err(error) => {
                let kind = error
                    .source()
                    .and_then(|source| source.downcast_ref::<io::Error>())
                    .map_or(io::ErrorKind::Other, io::Error::kind);
                Err(io::Error::new(kind, error))
            }
        }
    }
}

/// Connects to a Unix socket, whatever host the URI names.
#[cfg(unix)]
#[derive(Clone, Debug)]
pub struct Unix(std::path::PathBuf);

#[cfg(unix)]
impl Unix {
    /// Connects to the socket at this path.
    pub fn new(path: impl Into<std::path::PathBuf>) -> Self {
        Self(path.into())
    }
}

#[cfg(unix)]
impl Connect for Unix {
    type Io = tokio::net::UnixStream;

    async fn connect(&self, _uri: &Uri) -> io::Result<Self::Io> {
        tokio::net::UnixStream::connect(&self.0).await
    }
}

/// A connector made of a function.
///
/// ```
/// use purlin_http_client::{HttpClient, connect_fn};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// // Any in-process pair will do; here nobody is at its other end.
/// let client = HttpClient::over(connect_fn(|_uri| async {
///     let (near, _far) = tokio::io::duplex(1024);
///     Ok(near)
/// }));
/// let error = client.get_bytes("http://nobody/".parse()?, 10).await.unwrap_err();
/// assert_eq!(error.address(), "nobody:80");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub fn connect_fn<F, Fut, I>(connect: F) -> ConnectFn<F>
where
    F: Fn(Uri) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<I>> + Send,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    ConnectFn(connect)
}

/// What [`connect_fn`] makes.
#[derive(Clone, Copy)]
pub struct ConnectFn<F>(F);

impl<F> fmt::Debug for ConnectFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectFn")
    }
}

impl<F, Fut, I> Connect for ConnectFn<F>
where
    F: Fn(Uri) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<I>> + Send,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Io = I;

    async fn connect(&self, uri: &Uri) -> io::Result<I> {
        (self.0)(uri.clone()).await
    }
}
