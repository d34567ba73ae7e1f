use crate::{
    Accept, Handle, Protocol, Report, ServeError,
    call::BoxError,
    options::Options,
    running::{Backoff, Running, at_once},
};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
#[cfg(doc)]
use purlin_endpoint::{Identity, Peer};
use std::{fmt, pin::pin, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};
use tower_service::Service;

pub(crate) type OnError = Arc<dyn Fn(&ServeError) + Send + Sync>;

/// An HTTP server with its limits and timeouts.
///
/// Every default is safe on the open internet. A timeout of [`Duration::MAX`] is none.
#[derive(Clone, Default)]
pub struct Server {
    pub(crate) options: Options,
    pub(crate) handle: Handle,
    pub(crate) on_error: Option<OnError>,
}

impl Server {
    /// A server with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which protocols it speaks. Default: [`Protocol::Any`].
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.options.protocol = protocol;
        self
    }

    /// Whether a request has to say clearly what it is for. Default: yes.
    ///
    /// If so, a request whose host is missing (HTTP/1.1), repeated, not a host, or in HTTP/2 not
    /// the `:authority`, is answered with 400, as is a target that names a user or only a host, or
    /// that has a `%` without two digits.
    pub fn host_rules(mut self, on: bool) -> Self {
        self.options.host_rules = on;
        self
    }

    /// How many connections may be open. Default: 10,000. At the limit no more are accepted: they
    /// wait in the listener's queue.
    pub fn connection_limit(mut self, connections: usize) -> Self {
        self.options.connection_limit = connections.max(1);
        self
    }

    /// How long preparing a connection, as by a TLS handshake, may take. Default: 5 s.
    pub fn handshake_timeout(mut self, patience: Duration) -> Self {
        self.options.handshake_timeout = patience;
        self
    }

    /// How long a new connection may be silent. Default: 5 s.
    pub fn first_byte_timeout(mut self, patience: Duration) -> Self {
        self.options.first_byte_timeout = patience;
        self
    }

    /// How long the head of an HTTP/1 request may take from its first byte. Default: 10 s.
    pub fn header_timeout(mut self, patience: Duration) -> Self {
        self.options.header_timeout = patience;
        self
    }

    /// How long a connection may stay without a call. Default: 75 s.
    pub fn idle_timeout(mut self, patience: Duration) -> Self {
        self.options.idle_timeout = patience;
        self
    }

    /// How long a peer may take none of the bytes that are sent to it. Default: 30 s.
    ///
    /// A response that has nothing to say for longer is not meant: the peer is blamed only while
    /// there are bytes that it does not take.
    pub fn stall_timeout(mut self, patience: Duration) -> Self {
        self.options.stall_timeout = patience;
        self
    }

    /// How long the service may take to begin its response. Default: 30 s. Then the call is dropped
    /// and answered with 504.
    ///
    /// It covers the time until the head of the response, reading the request body included, and
    /// not the response body. Calls of gRPC are exempt: they carry a deadline of their own.
    pub fn request_timeout(mut self, patience: Duration) -> Self {
        self.options.request_timeout = patience;
        self
    }

    /// How old a connection gets, give or take a tenth. Default: no limit.
    ///
    /// It is closed gracefully then, so that clients spread over new instances.
    pub fn age(mut self, age: Duration) -> Self {
        self.options.age = age;
        self
    }

    /// How long the calls on a connection that is too old, or [outdated](crate::Accept::outdated),
    /// may still take. Default: 30 s.
    pub fn age_grace(mut self, patience: Duration) -> Self {
        self.options.age_grace = patience;
        self
    }

    /// How long the calls in progress at shutdown may still take. Default: 30 s.
    pub fn drain(mut self, patience: Duration) -> Self {
        self.options.drain = patience;
        self
    }

    /// How many header lines an HTTP/1 request may have. Default: 100. More are answered with 431.
    pub fn header_count(mut self, lines: usize) -> Self {
        self.options.header_count = lines;
        self
    }

    /// How many bytes the head of a request may have. Default: 16 KiB. More are answered with 431.
    pub fn header_size(mut self, bytes: u32) -> Self {
        self.options.header_size = bytes;
        self
    }

    /// How many calls may be in progress on one HTTP/2 connection. Default: 200.
    pub fn stream_limit(mut self, streams: u32) -> Self {
        self.options.stream_limit = streams;
        self
    }

    /// How many streams a peer may open and take back before they are accepted, before the
    /// connection is closed. Default: 20.
    pub fn peer_reset_limit(mut self, streams: usize) -> Self {
        self.options.peer_reset_limit = streams;
        self
    }

    /// How many streams a peer may make the server reset by breaking the protocol, before the
    /// connection is closed. Default: 1,024.
    pub fn own_reset_limit(mut self, streams: usize) -> Self {
        self.options.own_reset_limit = streams;
        self
    }

    /// How many HTTP/2 frames that ask for nothing a peer may send at once. Default: 1,000. Then the
    /// connection is closed with `ENHANCE_YOUR_CALM`.
    ///
    /// These are all frames but `HEADERS` and `DATA`, and empty `DATA`. One counts ten times if it
    /// makes the server send a frame: `PING`, `SETTINGS`, and what breaks the protocol so that its
    /// stream is reset. What is sent in responses makes up for them, a frame for each four bytes, so
    /// that whoever reads a response may say so as often as it likes; and so does time, at the
    /// [`control_frame_rate`](Self::control_frame_rate).
    ///
    /// As anchors: Envoy and nghttp2 (and with it Node.js) close a connection with 1,000
    /// acknowledgements outstanding, nghttp2 after 1,000 resets at once, and Envoy allows ten window
    /// updates for each `DATA` frame that it sends. grpc-go takes two pings too many.
    pub fn control_frame_limit(mut self, frames: u32) -> Self {
        self.options.control_frame_limit = frames;
        self
    }

    /// How many such frames a peer may send each second, for ever. Default: 100, which is ten pings.
    /// nghttp2 allows 33 resets.
    pub fn control_frame_rate(mut self, per_second: u32) -> Self {
        self.options.control_frame_rate = per_second;
        self
    }

    /// How many bytes of a request body a peer may send ahead on an HTTP/2 stream. Default: 1 MiB.
    pub fn stream_window(mut self, bytes: u32) -> Self {
        self.options.stream_window = bytes;
        self
    }

    /// How many bytes a peer may send ahead on an HTTP/2 connection. Default: 1 MiB.
    pub fn connection_window(mut self, bytes: u32) -> Self {
        self.options.connection_window = bytes;
        self
    }

    /// Whether both windows follow the measured bandwidth instead. Default: no.
    pub fn adaptive_window(mut self, on: bool) -> Self {
        self.options.adaptive_window = on;
        self
    }

    /// How many bytes wait to be sent on one HTTP/2 stream before its body is asked for no more.
    /// Default: 64 KiB.
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.options.send_buffer = bytes;
        self
    }

    /// How often an HTTP/2 peer is asked whether it is alive. Default: never.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.options.ping_interval = interval;
        self
    }

    /// How long it may take to answer that, before the connection is closed. Default: 20 s.
    pub fn ping_timeout(mut self, patience: Duration) -> Self {
        self.options.ping_timeout = patience;
        self
    }

    /// Tells of what went wrong and was survived. It is called from the server's tasks and must not
    /// block.
    pub fn on_error(mut self, tell: impl Fn(&ServeError) + Send + Sync + 'static) -> Self {
        self.on_error = Some(Arc::new(tell));
        self
    }

    /// Reads what this server does, and what its clones do.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until `shutdown`, then drains.
    ///
    /// Every request carries its [`Peer`] as an extension, and the peer's [`Identity`] where the
    /// handshake has shown it. While it drains, calls in progress go on
    /// and their connections end with them (HTTP/1 says `connection: close`, HTTP/2 `GOAWAY`), and
    /// all others are closed at once. It returns when the last connection is gone, and at the
    /// latest when the [`drain`](Self::drain) is over: what remains then is cut. If the future is
    /// dropped instead, so is every connection.
    ///
    /// A connection that ends is first closed on this side only, and what its peer still sends is
    /// thrown away, until that ends too, for up to a second or 64 KiB: otherwise the peer might lose
    /// the last answer.
    ///
    /// An error of the service breaks off its HTTP/1 connection or its HTTP/2 stream, as does a
    /// panic.
    pub async fn serve<A, S, B, F>(self, mut accept: A, service: S, shutdown: F) -> Report
    where
        A: Accept,
        S: Service<
                Request<Incoming>,
                Response = Response<B>,
                Error: Into<BoxError>,
                Future: Send + 'static,
            > + Clone
            + Send
            + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
        F: Future<Output = ()>,
    {
        let limit = self.options.connection_limit;
        let mut running = Running::new(self);
        let mut shutdown = pin!(shutdown);
        let mut outdated = pin!(accept.outdated());
        let mut backoff = Backoff::default();
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(end) = running.connections.join_next() => running.ended(end),
                () = &mut outdated => {
                    // First this, so that nothing that comes between them is missed.
                    outdated.set(accept.outdated());
                    running.retire();
                }
                () = sleep_until(backoff.until.unwrap_or_else(Instant::now)), if backoff.until.is_some() => {
                    backoff.until = None;
                }
                accepted = accept.accept(), if backoff.until.is_none() && running.connections.len() < limit => {
                    match accepted {
                        Ok((handshake, peer)) => {
                            backoff = Backoff::default();
                            running.start(handshake, A::identity, peer, service.clone());
                        }
                        Err(error) => {
                            backoff.grow(&error);
                            running.refused(error);
                        }
                    }
                }
            }
        }
        // Connections that the kernel has taken already are not turned away.
        tokio::task::yield_now().await;
        while running.connections.len() < limit
            && let Some((handshake, peer)) = at_once(accept.accept()).await
        {
            running.start(handshake, A::identity, peer, service.clone());
        }
        drop(accept);
        running.drain().await
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("options", &self.options)
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}
