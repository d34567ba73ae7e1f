use crate::{body::Body, timeout::shorten};
use http::{Uri, uri};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use purlin_endpoint::{BoxError, Code, Error, Service};
use purlin_http_client::{Connect, Tcp};
use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context as Task, Poll},
    time::Duration,
};
use tokio::time::{Instant, timeout};

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One HTTP/2 connection to a server, shared by all its clones and all methods.
///
/// It is made with the first call, and again with the next call after it broke. Calls that come
/// while it is being made wait for it; calls that come soon after an attempt has failed fail at
/// once, so that a server that is down is not attacked. Errors before anything was sent are
/// [`unreached`](Error::is_unreached), and their cause names the address.
///
/// The connection is closed when the last clone and the last call are dropped. When the way to
/// connect has a new [generation](Connect::generation), the next call gets a new connection, and the
/// old one is closed behind the calls that it has.
#[derive(Clone)]
pub struct Channel(Arc<Shared>);

struct Shared {
    options: Options,
    link: Mutex<Link>,
    /// Held by the one call that makes the connection.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Options {
    origin: Uri,
    dial: Arc<dyn Dial>,
    connect_timeout: Duration,
    first_backoff: Duration,
    longest_backoff: Duration,
    ping_interval: Option<Duration>,
    ping_timeout: Duration,
}

enum Link {
    Down,
    Up {
        sender: SendRequest<Body>,
        generation: u64,
    },
    /// So many attempts in a row have failed; the next is not made before its time.
    Failed {
        attempts: u32,
        until: Instant,
        why: Unreachable,
    },
}

/// A connection, whatever it is made of.
trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Stream for T {}

/// A [`Connect`] of any type.
trait Dial: Send + Sync {
    fn dial(self: Arc<Self>, origin: Uri) -> BoxFuture<io::Result<Box<dyn Stream>>>;
    fn generation(&self) -> u64;
}

impl<C: Connect> Dial for C {
    fn dial(self: Arc<Self>, origin: Uri) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let refused = |why| Err(io::Error::new(io::ErrorKind::Unsupported, why));
            if origin.scheme() == Some(&uri::Scheme::HTTPS) && !self.is_secure() {
                return refused("`https` needs a `Connect` that is secure");
            }
            let stream = self.connect(&origin).await?;
            if self.is_secure() && !C::has_chosen_http2(&stream) {
                return refused("the server has not chosen HTTP/2");
            }
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn generation(&self) -> u64 {
        Connect::generation(self)
    }
}

/// Why no connection could be made.
#[derive(Clone, Debug)]
pub struct Unreachable {
    address: Arc<str>,
    source: Arc<io::Error>,
}

impl Unreachable {
    /// Whom the connection was for: `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not connect to {}", self.address)
    }
}

impl std::error::Error for Unreachable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

impl From<Unreachable> for Error {
    fn from(unreachable: Unreachable) -> Self {
        // The address is for the log: it says more of the inside than a caller may know.
        Self::of(Code::Unavailable)
            .public("the server can't be reached")
            .caused_by(unreachable)
            .unreached()
    }
}

impl Channel {
    /// A channel by TCP to the host and port of this URI.
    pub fn new(origin: Uri) -> Self {
        Self::over(Tcp::new(), origin)
    }

    /// A channel by any way to connect. The URI is what the server is told as its name.
    pub fn over(connect: impl Connect, origin: Uri) -> Self {
        Self::of(Options {
            origin,
            dial: Arc::new(connect),
            connect_timeout: Duration::from_secs(5),
            first_backoff: Duration::from_millis(100),
            longest_backoff: Duration::from_secs(10),
            ping_interval: None,
            ping_timeout: Duration::from_secs(20),
        })
    }

    fn of(options: Options) -> Self {
        let link = Mutex::new(Link::Down);
        Self(Arc::new(Shared { options, link, connecting: tokio::sync::Mutex::default() }))
    }

    fn set(self, set: impl FnOnce(&mut Options)) -> Self {
        let mut options = self.0.options.clone();
        set(&mut options);
        Self::of(options)
    }

    /// How long making a connection may take: 5 s unless set.
    #[must_use]
    pub fn connect_timeout(self, patience: Duration) -> Self {
        self.set(|options| options.connect_timeout = patience)
    }

    /// How long calls fail at once after an attempt to connect has failed: 100 ms unless set, each
    /// time 1.6 times longer, at most 10 s unless set, and all that within a fifth by chance.
    #[must_use]
    pub fn backoff(self, first: Duration, longest: Duration) -> Self {
        self.set(|options| (options.first_backoff, options.longest_backoff) = (first, longest))
    }

    /// Asks the server so often whether it is still there while calls run; never unless set. A
    /// server may take too many such questions for an attack.
    #[must_use]
    pub fn ping_interval(self, interval: Duration) -> Self {
        self.set(|options| options.ping_interval = Some(interval))
    }

    /// How long the answer to a ping may take before the connection is given up: 20 s unless set.
    #[must_use]
    pub fn ping_timeout(self, patience: Duration) -> Self {
        self.set(|options| options.ping_timeout = patience)
    }

    /// Makes the connection now, if there is none.
    ///
    /// # Errors
    ///
    /// `UNAVAILABLE`, if it can't be made.
    pub async fn connect(&self) -> Result<(), Error> {
        self.0.sender().await.map(drop)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("origin", &self.0.options.origin).finish_non_exhaustive()
    }
}

impl Service<http::Request<Body>> for Channel {
    type Response = http::Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<Result<http::Response<Incoming>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), BoxError>> {
        // A call waits for its connection, so that its deadline covers that too.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let shared = self.0.clone();
        *request.uri_mut() = shared.address(request.uri());
        Box::pin(async move { shared.send(request).await })
    }
}

/// How many bytes a server may send on one connection before somebody takes them: 16 calls that are
/// slow to take theirs (2 MiB each) don't hold up the others. h2 takes the more unread pieces of a few
/// bytes the larger this is, and gives the connection up at more: here from about 65,000 on.
const WINDOW: u32 = 32 << 20;

/// So many connections may turn out to be closing before a call is given up.
const TRIES: usize = 3;

impl Shared {
    async fn send(
        &self,
        mut request: http::Request<Body>,
    ) -> Result<http::Response<Incoming>, BoxError> {
        for _ in 1..TRIES {
            let mut sender = self.sender_for(&mut request).await?;
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                // The connection was closing; nothing has been sent, so another one may take it.
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(failed.into_error().into()),
                },
            }
        }
        let mut sender = self.sender_for(&mut request).await?;
        sender.send_request(request).await.map_err(Into::into)
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the connection: there is one, none is to be made yet, or one is missing.
    fn known(&self) -> Option<Result<SendRequest<Body>, Error>> {
        match &*self.link() {
            Link::Up { sender, generation }
                if !sender.is_closed() && *generation >= self.options.dial.generation() =>
            {
                Some(Ok(sender.clone()))
            }
            Link::Failed { until, why, .. } if Instant::now() < *until => {
                Some(Err(why.clone().into()))
            }
            _ => None,
        }
    }

    /// The connection; how long this call has waited for it is taken off the time that it tells.
    async fn sender_for(
        &self,
        request: &mut http::Request<Body>,
    ) -> Result<SendRequest<Body>, Error> {
        if let Some(known) = self.known() {
            return known;
        }
        let began = Instant::now();
        let sender = self.sender().await?;
        shorten(request.headers_mut(), began.elapsed());
        Ok(sender)
    }

    async fn sender(&self) -> Result<SendRequest<Body>, Error> {
        if let Some(known) = self.known() {
            return known;
        }
        let _connecting = self.connecting.lock().await;
        // Another call may have made it, or failed to, in the meantime.
        if let Some(known) = self.known() {
            return known;
        }
        let generation = self.options.dial.generation();
        match timeout(self.options.connect_timeout, self.options.connect()).await {
            Ok(Ok(sender)) => {
                *self.link() = Link::Up { sender: sender.clone(), generation };
                Ok(sender)
            }
            Ok(Err(error)) => Err(self.failed(error)),
            Err(_) => Err(self.failed(io::ErrorKind::TimedOut.into())),
        }
    }

    fn failed(&self, error: io::Error) -> Error {
        let origin = &self.options.origin;
        let address = origin.authority().map_or("nowhere", uri::Authority::as_str);
        let why = Unreachable { address: address.into(), source: Arc::new(error) };
        let mut link = self.link();
        let attempts = match &*link {
            Link::Failed { attempts, .. } => attempts.saturating_add(1),
            Link::Down | Link::Up { .. } => 0,
        };
        let until = Instant::now() + self.options.backoff(attempts, chance());
        *link = Link::Failed { attempts, until, why: why.clone() };
        why.into()
    }

    /// The same path at the channel's own address.
    fn address(&self, uri: &Uri) -> Uri {
        let mut parts = self.options.origin.clone().into_parts();
        parts.scheme.get_or_insert(uri::Scheme::HTTP);
        parts.path_and_query = uri.path_and_query().cloned();
        Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
    }
}

impl Options {
    async fn connect(&self) -> io::Result<SendRequest<Body>> {
        let stream = self.dial.clone().dial(self.origin.clone()).await?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).initial_connection_window_size(WINDOW);
        if let Some(interval) = self.ping_interval {
            builder.keep_alive_interval(interval).keep_alive_timeout(self.ping_timeout);
        }
        let handshake = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(io::Error::other)?;
        // It ends with its last sender and its last call, and tells each call if it breaks.
        tokio::spawn(connection);
        Ok(sender)
    }

    /// How long to wait after so many failures; `chance` is between zero and one.
    fn backoff(&self, attempts: u32, chance: f64) -> Duration {
        let grown = self.first_backoff.as_secs_f64() * 1.6_f64.powf(f64::from(attempts.min(100)));
        let longest = self.longest_backoff.as_secs_f64();
        Duration::from_secs_f64(grown.min(longest).mul_add(0.8, grown.min(longest) * 0.4 * chance))
    }
}

fn chance() -> f64 {
    // Every `RandomState` has keys of its own; 32 bits of them are chance enough.
    f64::from((RandomState::new().hash_one(()) >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest_and_differ_by_a_fifth() {
        let channel = Channel::new(Uri::from_static("http://127.0.0.1:1"));
        let options = &channel.0.options;
        assert_eq!(options.backoff(0, 0.5), Duration::from_millis(100));
        assert_eq!(options.backoff(0, 0.0), Duration::from_millis(80));
        assert_eq!(options.backoff(0, 1.0), Duration::from_millis(120));
        assert_eq!(options.backoff(1, 0.5), Duration::from_millis(160));
        assert_eq!(options.backoff(u32::MAX, 0.5), Duration::from_secs(10));
    }

    #[test]
    fn chances_are_between_zero_and_one_and_differ() {
        let drawn: Vec<f64> = (0..100).map(|_| chance()).collect();
        assert!(drawn.iter().all(|chance| (0.0..=1.0).contains(chance)));
        assert!(drawn.iter().any(|chance| chance.to_bits() != drawn[0].to_bits()));
    }
}
