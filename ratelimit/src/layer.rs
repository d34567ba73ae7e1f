use crate::{
    Handle,
    state::{Known, Place, State},
};
use futures_util::future::{BoxFuture, Either, FutureExt as _, Ready, ready};
use purlin_endpoint::{Answer, AsError, AsResponse, Call, Code, Error, Layer, Service};
use std::{
    fmt, mem,
    sync::Arc,
    task::{Context as Task, Poll},
    time::Duration,
};
use tokio::time::sleep_until;

/// Limits the rate of the calls that it wraps.
///
/// `A` says how a refusal becomes the outcome: an error, or what [`respond`](Self::respond) makes.
#[derive(Clone, Debug)]
pub struct RateLimitLayer<A = AsError> {
    state: Arc<State>,
    answer: A,
}

impl RateLimitLayer {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { state, answer: AsError }
    }
}

impl<A> RateLimitLayer<A> {
    /// Answers a refused call with a response instead of an error.
    pub fn respond<F>(self, respond: F) -> RateLimitLayer<AsResponse<F>> {
        RateLimitLayer { state: self.state, answer: AsResponse::new(respond) }
    }

    /// Shows the limit as it is, and changes it while calls run.
    pub fn handle(&self) -> Handle {
        Handle::new(self.state.clone())
    }
}

impl<A: Clone, S> Layer<S> for RateLimitLayer<A> {
    type Service = RateLimited<S, A>;

    fn layer(&self, inner: S) -> RateLimited<S, A> {
        let (state, answer) = (self.state.clone(), self.answer.clone());
        RateLimited { known: state.known(), state, answer, inner }
    }
}

/// A service whose calls have a limited rate.
#[derive(Clone, Debug)]
pub struct RateLimited<S, A = AsError> {
    state: Arc<State>,
    known: Known,
    answer: A,
    inner: S,
}

impl<S, A, Req> Service<Req> for RateLimited<S, A>
where
    S: Service<Req, Future: Send + 'static> + Clone + Send + 'static,
    A: Answer<Limited, S::Response, S::Error>,
    Req: Call + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Limiting<S::Future, Result<S::Response, S::Error>>;

    #[inline]
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        match self.state.admit(&mut self.known, &mut request) {
            Ok(None) => Either::Left(Either::Left(self.inner.call(request))),
            Ok(Some(place)) => {
                // The one that was polled ready waits; its clone is not ready yet.
                let clone = self.inner.clone();
                let inner = mem::replace(&mut self.inner, clone);
                Either::Right(wait(place, inner, request).boxed())
            }
            Err(limited) => Either::Left(Either::Right(ready(self.answer.answer(limited)))),
        }
    }
}

/// The call, or its refusal, at once; or, in a box, the call when its turn comes.
type Limiting<F, Outcome> = Either<Either<F, Ready<Outcome>>, BoxFuture<'static, Outcome>>;

async fn wait<S: Service<Req>, Req>(
    place: Place,
    mut inner: S,
    request: Req,
) -> Result<S::Response, S::Error> {
    sleep_until(place.turn).await;
    place.leave();
    inner.call(request).await
}

/// The call came too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// How long it is until a call would be admitted, if no other comes before it.
    pub retry_after: Duration,
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nobody comes back on the nanosecond.
        let millis = self.retry_after.as_nanos().div_ceil(1_000_000);
        let shown = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        write!(f, "rate limit exceeded, try again in {shown:?}")
    }
}

impl std::error::Error for Limited {}

impl From<Limited> for Error {
    fn from(limited: Limited) -> Self {
        Self::new(Code::ResourceExhausted, limited).retry_after(limited.retry_after).unreached()
    }
}
