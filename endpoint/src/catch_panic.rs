use crate::{Answer, AsError, AsResponse, Code, Error};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context as Task, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// Something panicked while it served a call.
///
/// The panic's text went to the panic hook, which by default prints it; it is not kept here, so
/// that it can't leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a handler or a layer panicked")
    }
}

impl std::error::Error for Panicked {}

impl From<Panicked> for Error {
    fn from(panicked: Panicked) -> Self {
        Self::new(Code::Internal, panicked)
    }
}

/// Runs this, and survives its panic.
///
/// # Errors
///
/// [`Panicked`] if it panicked. What it was working on may be half done and should be dropped.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        // A payload whose drop panics must not get past this either.
        std::mem::forget(payload);
        Panicked
    })
}

/// Turns panics further in into refusals.
///
/// It is outermost, so that every guard further in learns that its call panicked. Servers'
/// transports have it built in.
#[derive(Clone, Copy, Debug, Default)]
pub struct CatchPanicLayer<A = AsError>(A);

impl CatchPanicLayer {
    /// Catches panics and answers with an error.
    pub const fn new() -> Self {
        Self(AsError)
    }

    /// Answers a panicked call with a response instead of an error.
    pub fn respond<F>(self, respond: F) -> CatchPanicLayer<AsResponse<F>> {
        CatchPanicLayer(AsResponse::new(respond))
    }
}

impl<A: Clone, S> Layer<S> for CatchPanicLayer<A> {
    type Service = CatchPanic<S, A>;

    fn layer(&self, inner: S) -> CatchPanic<S, A> {
        CatchPanic { inner, answer: self.0.clone(), panicked: false }
    }
}

/// A service whose panics are caught.
#[derive(Clone, Copy, Debug)]
pub struct CatchPanic<S, A = AsError> {
    inner: S,
    answer: A,
    /// Readiness panicked: the call that follows is refused.
    panicked: bool,
}

impl<S, A, Req> Service<Req> for CatchPanic<S, A>
where
    S: Service<Req>,
    A: Answer<Panicked, S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Catching<S::Future, A>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        match catch_panic(|| self.inner.poll_ready(task)) {
            Ok(polled) => polled,
            Err(Panicked) => {
                self.panicked = true;
                Poll::Ready(Ok(()))
            }
        }
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let inner = match std::mem::take(&mut self.panicked) {
            true => None,
            false => catch_panic(|| self.inner.call(request)).ok(),
        };
        Catching { inner, answer: self.answer.clone() }
    }
}

pin_project! {
    /// The future of a call whose panics are caught.
    pub struct Catching<F, A> {
        #[pin]
        inner: Option<F>,
        answer: A,
    }
}

impl<F, A, Res, Err> Future for Catching<F, A>
where
    F: Future<Output = Result<Res, Err>>,
    A: Answer<Panicked, Res, Err>,
{
    type Output = Result<Res, Err>;

    fn poll(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let polled = match this.inner.as_mut().as_pin_mut() {
            Some(inner) => catch_panic(|| inner.poll(task)),
            None => Err(Panicked),
        };
        polled.unwrap_or_else(|panicked| {
            // The guards inside learn from this drop what happened, before the answer leaves.
            let _ = catch_panic(|| this.inner.set(None));
            Poll::Ready(this.answer.answer(panicked))
        })
    }
}

impl<F, A> fmt::Debug for Catching<F, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catching").finish_non_exhaustive()
    }
}
