use crate::{Code, Error, Request, Service};
use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context as Task, Poll},
};

/// What the probe is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Answer at the second poll.
    Answer,
    /// Fail with an error that can be told from any other.
    Fail,
    /// Never answer.
    Never,
    /// Panic before there is a future.
    PanicInCall,
    /// Panic when the future is polled.
    PanicInPoll,
}

/// The probe's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told;

/// The inner service that a layer is checked with. Its clones share all but their readiness.
#[derive(Debug)]
pub struct Probe {
    state: Arc<State>,
    /// Belongs to this clone alone: a clone of a ready service is not ready.
    readied: bool,
}

#[derive(Debug, Default)]
struct State {
    unready: AtomicBool,
    broken: AtomicBool,
    calls: AtomicUsize,
    unreadied: AtomicUsize,
    live: AtomicUsize,
}

impl Clone for Probe {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), readied: false }
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe {
    /// A probe that is ready.
    pub fn new() -> Self {
        Self { state: Arc::default(), readied: false }
    }

    /// Makes all clones ready, or not.
    pub fn set_ready(&self, ready: bool) {
        self.state.unready.store(!ready, Ordering::SeqCst);
    }

    /// Makes readiness fail from now on, with [`Code::Unavailable`].
    pub fn set_broken(&self) {
        self.state.broken.store(true, Ordering::SeqCst);
    }

    /// How many calls have reached it.
    pub fn calls(&self) -> usize {
        self.state.calls.load(Ordering::SeqCst)
    }

    /// How many of them came without being ready.
    pub fn unreadied(&self) -> usize {
        self.state.unreadied.load(Ordering::SeqCst)
    }

    /// How many of its futures are not dropped yet.
    pub fn live(&self) -> usize {
        self.state.live.load(Ordering::SeqCst)
    }
}

impl Service<Request<Ask>> for Probe {
    type Response = Told;
    type Error = Error;
    type Future = Probing;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Error>> {
        if self.state.broken.load(Ordering::SeqCst) {
            return Poll::Ready(Err(Error::new(Code::Unavailable, "the probe is broken")));
        }
        self.readied = !self.state.unready.load(Ordering::SeqCst);
        if self.readied {
            return Poll::Ready(Ok(()));
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, request: Request<Ask>) -> Probing {
        self.state.calls.fetch_add(1, Ordering::SeqCst);
        if !std::mem::take(&mut self.readied) {
            self.state.unreadied.fetch_add(1, Ordering::SeqCst);
            panic!("a service was called that had not been polled ready");
        }
        assert!(request.message != Ask::PanicInCall, "the probe was told to panic in its call");
        self.state.live.fetch_add(1, Ordering::SeqCst);
        Probing { ask: request.message, polled: false, live: Live(self.state.clone()) }
    }
}

/// The probe's future.
#[derive(Debug)]
pub struct Probing {
    ask: Ask,
    polled: bool,
    live: Live,
}

/// Counts a future for as long as it lives.
#[derive(Debug)]
struct Live(Arc<State>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Future for Probing {
    type Output = Result<Told, Error>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        debug_assert!(self.live.0.live.load(Ordering::SeqCst) > 0);
        let first = !std::mem::replace(&mut self.polled, true);
        match self.ask {
            Ask::Never => Poll::Pending,
            Ask::PanicInPoll => panic!("the probe was told to panic in its poll"),
            _ if first => {
                task.waker().wake_by_ref();
                Poll::Pending
            }
            Ask::Answer | Ask::PanicInCall => Poll::Ready(Ok(Told)),
            Ask::Fail => Poll::Ready(Err(Error::new(Code::Aborted, Marked))),
        }
    }
}

/// The source of the probe's error.
#[derive(Debug)]
pub(super) struct Marked;

impl fmt::Display for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the probe was told to fail")
    }
}

impl StdError for Marked {}
