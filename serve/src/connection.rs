use crate::{
    call::{BoxError, Callee, Origin},
    frames::Frames,
    framing::Framing,
    handle::{Counters, Open, ServeError},
    line::{Following, Line, PREFACE, Prefix, Wire},
    options::{Options, Protocol},
    server::OnError,
    signal::{Born, Order, Signal},
    watch::{Outcome, PARTING, Watch},
};
use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use purlin_endpoint::{Identity, Peer};
use std::{
    hash::{BuildHasher, RandomState},
    io,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::task::TaskTracker;
use tower_service::Service;

/// How long a connection that was accepted just before the drain may take to be heard.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// How many header lines hyper takes of itself.
const HYPERS_HEADER_COUNT: usize = 100;

/// What all connections of a server share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) http1: http1::Builder,
    pub(crate) signal: Signal,
    pub(crate) counters: Arc<Counters>,
    pub(crate) on_error: Option<OnError>,
    /// Spreads the ends of connections of the same age.
    pub(crate) jitter: RandomState,
}

impl Shared {
    pub(crate) fn report(&self, error: &ServeError) {
        if let Some(on_error) = &self.on_error {
            on_error(error);
        }
    }

    /// The age at which a connection is closed: the chosen one, give or take a tenth.
    fn age(&self) -> Duration {
        match self.options.age {
            Duration::MAX => Duration::MAX,
            age => {
                let random = self.jitter.hash_one(self.counters.accepted.load(Relaxed));
                age.mul_f64(0.9 + 0.2 * (random as f64 / u64::MAX as f64))
            }
        }
    }
}

/// Whether a connection was cut off while a call was in progress.
pub(crate) type WasCut = bool;

/// Reads off a connection who is at its other side.
pub(crate) type Identify<I> = fn(&I) -> Option<Identity>;

/// Lives through one connection, from its handshake to its end.
///
/// It is what the task runs, with no future around it: that would hold it twice, once as it was
/// given and once as it is awaited, for as long as the connection is idle.
pub(crate) async fn run<H, I, S, B>(
    _open: Open,
    shared: Arc<Shared>,
    born: Born,
    handshake: H,
    identify: Identify<I>,
    peer: Peer,
    service: S,
) -> WasCut
where
    H: Future<Output = io::Result<I>>,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let Some((io, opening)) = open(&shared, handshake, &peer).await else { return false };
    let line = Arc::new(Line::default());
    let Options { request_timeout, host_rules, .. } = shared.options;
    let origin = Origin { peer: peer.clone(), identity: identify(&io) };
    let callee = Callee::new(service, Arc::clone(&line), origin, request_timeout, host_rules);
    let following = opening.following(&shared.options);
    let wire = TokioIo::new(Wire::new(io, opening.prefix, Arc::clone(&line), following));
    let watch = Watch::new(&line, &shared.options, !opening.http2, opening.heard, shared.age());
    let outcome = if opening.http2 {
        // In a box, lest the many connections that are HTTP/1 pay for its size.
        Box::pin(async {
            let streams = Streams(TaskTracker::new());
            let builder = http2_builder(&shared.options, streams.clone());
            let mut connection = Box::pin(builder.serve_connection(wire, callee));
            let finish = http2::Connection::graceful_shutdown;
            let outcome = watch.run(connection.as_mut(), finish, &shared.signal, born).await;
            // Its streams learn that it is gone, and end.
            drop(connection);
            streams.0.close();
            streams.0.wait().await;
            outcome
        })
        .await
    } else {
        let connection = pin!(shared.http1.serve_connection(wire, callee));
        let finish = http1::Connection::graceful_shutdown;
        watch.run(connection, finish, &shared.signal, born).await
    };
    conclude(&shared, &line, peer, outcome)
}

fn conclude(shared: &Shared, line: &Line, peer: Peer, outcome: Outcome) -> WasCut {
    match outcome {
        _ if line.flooded() => {
            shared.counters.floods.fetch_add(1, Relaxed);
            shared.report(&ServeError::Flooded { peer });
        }
        Outcome::Over(Ok(())) | Outcome::Left => {}
        Outcome::Over(Err(source)) => {
            shared.report(&ServeError::Connection { peer, source: source.into() });
        }
        Outcome::TimedOut => {
            shared.counters.timeouts.fetch_add(1, Relaxed);
        }
        Outcome::Cut => return true,
    }
    false
}

/// What the first bytes tell.
struct Opening {
    http2: bool,
    prefix: Prefix,
    heard: Instant,
}

impl Opening {
    fn following(&self, options: &Options) -> Following {
        if !self.http2 {
            return Following::Http1(Framing::default());
        }
        let Options { control_frame_limit, control_frame_rate, .. } = *options;
        let frames = Frames::new(control_frame_limit, control_frame_rate, self.heard);
        Following::Http2(Box::new(frames))
    }
}

/// Prepares a connection and learns its protocol. `None` if that comes to nothing.
async fn open<H, I>(shared: &Shared, handshake: H, peer: &Peer) -> Option<(I, Opening)>
where
    H: Future<Output = io::Result<I>>,
    I: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |source| {
        let peer = peer.clone();
        shared.report(&ServeError::Handshake { peer, source });
    };
    let handshake = timeout(shared.options.handshake_timeout, handshake);
    let prepared = tokio::select! {
        biased;
        prepared = handshake => prepared,
        () = shared.signal.reached(Order::Finish) => return None,
    };
    let mut io = match prepared {
        Ok(Ok(io)) => io,
        Ok(Err(error)) => {
            failed(error);
            return None;
        }
        Err(_elapsed) => {
            shared.counters.timeouts.fetch_add(1, Relaxed);
            failed(io::ErrorKind::TimedOut.into());
            return None;
        }
    };
    let (spoken, opening) = listen(shared, &mut io).await?;
    if spoken == Spoken::Other {
        let source = io::Error::new(io::ErrorKind::InvalidData, "HTTP/2 begins otherwise");
        shared.report(&ServeError::Connection { peer: peer.clone(), source: source.into() });
        part(shared, io, opening).await;
        return None;
    }
    Some((io, opening))
}

/// Closes a connection on which nothing is to be said.
async fn part<I: AsyncRead + AsyncWrite + Unpin>(shared: &Shared, io: I, opening: Opening) {
    let mut wire = Wire::new(io, opening.prefix, Arc::default(), Following::Nothing);
    tokio::select! {
        // It may fail, and may take too long: the connection is closed in any case.
        _ = timeout(PARTING, wire.shutdown()) => {}
        () = shared.signal.reached(Order::Finish) => {}
    }
}

/// Waits for the first bytes.
async fn listen<I: AsyncRead + Unpin>(shared: &Shared, io: &mut I) -> Option<(Spoken, Opening)> {
    let options = &shared.options;
    let mut prefix = Prefix::default();
    let mut heard = None;
    let mut finishing = false;
    let now = Instant::now();
    let mut until =
        now.checked_add(options.first_byte_timeout).unwrap_or(now + Duration::from_secs(3600));
    loop {
        let count = tokio::select! {
            biased;
            read = timeout_at(until, io.read(prefix.spare())) => match read {
                Ok(Ok(count)) => count,
                Ok(Err(_)) => return None,
                Err(_elapsed) => {
                    shared.counters.timeouts.fetch_add(1, Relaxed);
                    return None;
                }
            },
            () = shared.signal.reached(Order::Finish), if !finishing => {
                finishing = true;
                until = until.min(Instant::now() + LAST_WORDS);
                continue;
            }
        };
        if count == 0 {
            return None;
        }
        prefix.fill(count);
        let first = *heard.get_or_insert_with(Instant::now);
        if let Some(spoken) = protocol(options.protocol, prefix.rest()) {
            let http2 = spoken == Spoken::Http2;
            return Some((spoken, Opening { http2, prefix, heard: first }));
        }
        if !finishing {
            until = first.checked_add(options.header_timeout).unwrap_or(until);
        }
    }
}

/// What a connection turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Http1,
    Http2,
    /// Nothing that this port speaks.
    Other,
}

/// What a connection is that begins with these bytes. `None` if that is not clear yet.
fn protocol(spoken: Protocol, first: &[u8]) -> Option<Spoken> {
    match spoken {
        Protocol::Http1 => Some(Spoken::Http1),
        _ if first == PREFACE => Some(Spoken::Http2),
        _ if PREFACE.starts_with(first) => None,
        Protocol::Any => Some(Spoken::Http1),
        Protocol::Http2 => Some(Spoken::Other),
    }
}

/// Runs the streams of one HTTP/2 connection, each in its own task.
#[derive(Clone)]
struct Streams(TaskTracker);

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn(stream);
    }
}

pub(crate) fn http1_builder(options: &Options) -> http1::Builder {
    let mut builder = http1::Builder::new();
    let size = options.header_size as usize;
    builder
        .timer(TokioTimer::new())
        // Hyper's own would also run while the connection is idle, and costs an allocation a call.
        .header_read_timeout(None)
        .max_header_size(size)
        .max_buf_size(size.max(64 * 1024));
    if options.header_count != HYPERS_HEADER_COUNT {
        // Any other count has hyper allocate for each request.
        builder.max_headers(options.header_count);
    }
    builder
}

fn http2_builder(options: &Options, streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.stream_limit)
        .max_pending_accept_reset_streams(options.peer_reset_limit)
        .max_local_error_reset_streams(options.own_reset_limit)
        .max_header_list_size(options.header_size)
        .max_send_buf_size(options.send_buffer)
        .initial_stream_window_size(options.stream_window)
        .initial_connection_window_size(options.connection_window)
        .keep_alive_timeout(options.ping_timeout);
    if options.adaptive_window {
        builder.adaptive_window(true);
    }
    if options.ping_interval != Duration::MAX {
        builder.keep_alive_interval(options.ping_interval);
    }
    builder
}
