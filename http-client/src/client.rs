use crate::{
    Connect, ConnectError, Error, ResponseBody, Tcp,
    body::{BodyFailed, RequestBody, Timer, erase},
    connector::{Connector, Dial, address},
    error::BoxError,
};
use arc_swap::{ArcSwap, Guard};
use bytes::{Bytes, BytesMut};
use http::{Request, Response, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, ResponseFuture},
    rt::{TokioExecutor, TokioTimer},
};
use std::{
    error::Error as _,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tower_service::Service;

/// An HTTP client with a pool of connections, as a tower service.
///
/// It is always ready. Clones share the pool. An option applies to the client that it returns,
/// which begins with an empty pool: choose first, then clone.
///
/// A future that is dropped takes its request back: an HTTP/1 connection is closed then, an HTTP/2
/// stream reset.
#[derive(Clone)]
pub struct HttpClient {
    options: Options,
    connector: Connector,
    pool: Arc<ArcSwap<Pool>>,
}

/// The connections of one [generation](Connect::generation).
struct Pool {
    generation: u64,
    client: Client<Connector, RequestBody>,
}

#[derive(Clone, Debug)]
struct Options {
    timeout: Duration,
    idle_timeout: Duration,
    idle_limit: usize,
    http2: bool,
    ping_interval: Duration,
}

impl HttpClient {
    /// A client over TCP, with the defaults.
    pub fn new() -> Self {
        Self::over(Tcp::new())
    }

    /// A client over connections of any kind.
    pub fn over(connect: impl Connect) -> Self {
        let options = Options {
            timeout: Duration::MAX,
            idle_timeout: Duration::from_secs(60),
            idle_limit: 32,
            http2: false,
            ping_interval: Duration::MAX,
        };
        let connector = Connector {
            dial: Dial::new(connect),
            timeout: Duration::from_secs(5),
            #[cfg(feature = "rustls")]
            tls: web(),
        };
        Self::of(options, connector)
    }

    fn of(options: Options, connector: Connector) -> Self {
        let pool = Arc::new(ArcSwap::from_pointee(Pool::new(&options, &connector)));
        Self { options, connector, pool }
    }

    /// How long connecting may take, name lookup and TLS handshake included. Default: 5 s.
    pub fn connect_timeout(mut self, patience: Duration) -> Self {
        self.connector.timeout = patience;
        self.renewed()
    }

    /// How long an exchange may take, to the end of the response body. Default: no limit.
    pub fn timeout(mut self, patience: Duration) -> Self {
        self.options.timeout = patience;
        self.renewed()
    }

    /// How long a connection stays in the pool without a request. Default: 60 s, less than the
    /// 75 s after which common servers close it.
    pub fn idle_timeout(mut self, patience: Duration) -> Self {
        self.options.idle_timeout = patience;
        self.renewed()
    }

    /// How many idle HTTP/1 connections stay in the pool for each host. Default: 32.
    pub fn idle_limit(mut self, connections: usize) -> Self {
        self.options.idle_limit = connections;
        self.renewed()
    }

    /// Speaks HTTP/2 only, with prior knowledge where there is no TLS. Default: HTTP/1.1, and
    /// HTTP/2 where the TLS handshake chooses it.
    pub fn http2(mut self) -> Self {
        self.options.http2 = true;
        self.renewed()
    }

    /// How often an HTTP/2 server that has calls to answer is asked whether it is alive. If it does
    /// not answer within 20 s, its connection is closed. Default: never.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.options.ping_interval = interval;
        self.renewed()
    }

    /// Speaks TLS by this configuration. Default: the web's certificate authorities.
    ///
    /// Its ALPN protocols must be empty: the client sets them.
    #[cfg(feature = "rustls")]
    pub fn tls(mut self, config: rustls::ClientConfig) -> Self {
        self.connector.tls = Ok(Arc::new(config));
        self.renewed()
    }

    /// Gets a URI and reads the whole body, which must not be larger than `limit` bytes.
    ///
    /// # Errors
    ///
    /// Any [`Error`]. A status that means failure is not one.
    pub async fn get_bytes(&self, uri: Uri, limit: usize) -> Result<Response<Bytes>, Error> {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = uri;
        let (head, mut body) = self.send(request).await?.into_parts();
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if data.len() > limit - bytes.len() {
                return Err(Error::TooLarge { address: address(&body.uri), limit });
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Response::from_parts(head, bytes.freeze()))
    }

    /// Sends a request. As [`Service::call`], but by `&self`, since the client is always ready.
    pub fn send<B>(&self, request: Request<B>) -> Reply
    where
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let uri = request.uri().clone();
        let timer = match self.options.timeout {
            Duration::MAX => None,
            patience => Some((patience, Box::pin(tokio::time::sleep(patience)))),
        };
        Reply { response: self.pool().client.request(request.map(erase)), uri, timer }
    }

    fn renewed(self) -> Self {
        Self::of(self.options, self.connector)
    }

    /// The pool of the connector's generation. An older one goes with the last call in it.
    fn pool(&self) -> Guard<Arc<Pool>> {
        let generation = self.connector.dial.0.generation();
        let pool = self.pool.load();
        if pool.generation >= generation {
            return pool;
        }
        let new = Arc::new(Pool::new(&self.options, &self.connector));
        // Another call may have been as quick.
        self.pool.rcu(|pool| if pool.generation < generation { &new } else { pool }.clone());
        self.pool.load()
    }
}

impl Pool {
    fn new(options: &Options, connector: &Connector) -> Self {
        let generation = connector.dial.0.generation();
        Self { generation, client: build(options, connector) }
    }
}

fn build(options: &Options, connector: &Connector) -> Client<Connector, RequestBody> {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(match options.idle_timeout {
            Duration::MAX => None,
            patience => Some(patience),
        })
        .pool_max_idle_per_host(options.idle_limit)
        .http2_only(options.http2);
    if options.ping_interval != Duration::MAX {
        builder.http2_keep_alive_interval(options.ping_interval);
    }
    builder.build(connector.clone())
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for HttpClient
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = Reply;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Reply {
        self.send(request)
    }
}

/// A response that is on its way. Dropping it takes the request back.
#[derive(Debug)]
#[must_use = "a request is not sent before its reply is awaited"]
pub struct Reply {
    response: ResponseFuture,
    uri: Uri,
    timer: Option<Timer>,
}

impl Future for Reply {
    type Output = Result<Response<ResponseBody>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(outcome) = Pin::new(&mut self.response).poll(cx) {
            return Poll::Ready(match outcome {
                Ok(response) => {
                    let (uri, timer) = (self.uri.clone(), self.timer.take());
                    Ok(response.map(|inner| ResponseBody { inner, uri, timer }))
                }
                Err(error) => Err(told(error, &self.uri)),
            });
        }
        if let Some((after, timer)) = &mut self.timer
            && timer.as_mut().poll(cx).is_ready()
        {
            let after = *after;
            return Poll::Ready(Err(Error::TimedOut { address: address(&self.uri), after }));
        }
        Poll::Pending
    }
}

/// Tells what hyper reports apart.
fn told(error: hyper_util::client::legacy::Error, uri: &Uri) -> Error {
    let address = address(uri);
    let mut cause = error.source();
    while let Some(source) = cause {
        if source.is::<BodyFailed>() {
            return Error::Body { address, source: error.into() };
        }
        if let Some(connect) = source.downcast_ref::<ConnectError>() {
            return Error::Connect(connect.clone());
        }
        cause = source.source();
    }
    match error.is_connect() {
        true => Error::Connect(ConnectError { address, source: Arc::new(error) }),
        false => Error::Exchange { address, source: error.into() },
    }
}

/// Trusts whom the web trusts, by ring. No provider of the whole process is installed or asked for.
#[cfg(feature = "rustls")]
fn web() -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    use hyper_rustls::ConfigBuilderExt;
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()?
        .with_webpki_roots()
        .with_no_client_auth();
    Ok(Arc::new(config))
}
