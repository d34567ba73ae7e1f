use crate::{
    Report, ServeError, Server,
    call::BoxError,
    connection::{Identify, Shared, WasCut, http1_builder, run},
    handle::Open,
    signal::{Order, Signal},
};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use purlin_endpoint::Peer;
use std::{
    future::poll_fn,
    hash::RandomState,
    io,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::{JoinError, JoinSet},
    time::{Instant, timeout, timeout_at},
};
use tower_service::Service;

/// How long connections that were told to stop may take to do so.
const STOPPING: Duration = Duration::from_millis(50);

/// What is accepted without waiting.
pub(crate) async fn at_once<T>(accepting: impl Future<Output = io::Result<T>>) -> Option<T> {
    let mut accepting = pin!(accepting);
    poll_fn(|cx| match accepting.as_mut().poll(cx) {
        Poll::Ready(Ok(accepted)) => Poll::Ready(Some(accepted)),
        _ => Poll::Ready(None),
    })
    .await
}

/// The connections of a server, which go down with it.
pub(crate) struct Running {
    shared: Arc<Shared>,
    pub(crate) connections: JoinSet<WasCut>,
    report: Report,
}

impl Running {
    pub(crate) fn new(server: Server) -> Self {
        let shared = Shared {
            http1: http1_builder(&server.options),
            options: server.options,
            signal: Signal::default(),
            counters: server.handle.0,
            on_error: server.on_error,
            jitter: RandomState::new(),
        };
        Self { shared: Arc::new(shared), connections: JoinSet::new(), report: Report::default() }
    }

    pub(crate) fn start<H, I, S, B>(
        &mut self,
        handshake: H,
        identify: Identify<I>,
        peer: Peer,
        service: S,
    ) where
        H: Future<Output = io::Result<I>> + Send + 'static,
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<
                Request<Incoming>,
                Response = Response<B>,
                Error: Into<BoxError>,
                Future: Send + 'static,
            > + Clone
            + Send
            + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let open = Open::new(&self.shared.counters);
        let shared = Arc::clone(&self.shared);
        let born = shared.signal.born();
        self.connections.spawn(run(open, shared, born, handshake, identify, peer, service));
    }

    /// Has the connections that there are take no more calls.
    pub(crate) fn retire(&self) {
        self.shared.signal.retire();
    }

    pub(crate) fn refused(&self, error: io::Error) {
        self.shared.counters.accept_errors.fetch_add(1, Relaxed);
        self.shared.report(&ServeError::Accept(error));
    }

    pub(crate) fn ended(&mut self, end: Result<WasCut, JoinError>) {
        match end {
            Ok(true) => self.report.cut += 1,
            Ok(false) => self.report.finished += 1,
            Err(error) if error.is_panic() => {
                self.report.finished += 1;
                self.shared.report(&ServeError::Panicked);
            }
            Err(_aborted) => self.report.cut += 1,
        }
    }

    pub(crate) async fn drain(mut self) -> Report {
        let begun = Instant::now();
        self.report = Report::default();
        self.shared.signal.give(Order::Finish);
        let patience = self.shared.options.drain;
        let in_time = match begun.checked_add(patience) {
            Some(end) => timeout_at(end, self.rest()).await.is_ok(),
            None => {
                self.rest().await;
                true
            }
        };
        if !in_time {
            self.shared.signal.give(Order::Stop);
            if timeout(STOPPING, self.rest()).await.is_err() {
                self.connections.abort_all();
                // A task that never comes back to its executor cannot be waited for.
                let _ = timeout(STOPPING, self.rest()).await;
                self.report.cut += self.connections.len();
            }
        }
        self.report.took = begun.elapsed();
        self.report
    }

    /// Waits until every connection has ended.
    async fn rest(&mut self) {
        while let Some(end) = self.connections.join_next().await {
            self.ended(end);
        }
    }
}

/// How long accepting pauses after an error.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    errors: u32,
    pub(crate) until: Option<Instant>,
}

impl Backoff {
    /// Concerns this error one connection, the next is accepted at once. Any other, such as having
    /// no file descriptor left, would only come again: it pauses for 10 ms, doubled up to
    /// 320 ms: it accepts again well within a second of when it can. So does a long row of the
    /// former, which nothing but a broken listener makes.
    pub(crate) fn grow(&mut self, error: &io::Error) {
        self.errors = self.errors.saturating_add(1);
        let harmless = matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::Interrupted
                | io::ErrorKind::TimedOut
        );
        let doublings = match harmless {
            true if self.errors <= 16 => return,
            true => self.errors - 16,
            false => self.errors,
        };
        let pause = Duration::from_millis(10 << doublings.saturating_sub(1).min(5));
        self.until = Instant::now().checked_add(pause);
    }
}
