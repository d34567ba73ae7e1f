use crate::{
    CircuitBreaker, Handle,
    breaker::{Apart, Ticket},
    machine::{Ended, Outcome},
    table::{ByKey, ByMethod, Common, Hold},
};
use purlin_endpoint::{
    AsError, AsResponse, ByCode, Call, Classify, Code, Context, End, Error, Guard, How, Intercept,
    InterceptLayer, Intercepted, Layer, Verdict,
};
use std::{
    cell::Cell,
    fmt::{self, Display},
    hash::Hash,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Refuses calls to those who fail.
///
/// `C` says what an outcome was, and `A` how a refusal becomes the outcome: an error, or what
/// [`respond`](Self::respond) makes.
#[derive(Clone, Debug)]
pub struct CircuitBreakerLayer<C = ByCode, A = AsError>(InterceptLayer<Breakers<C>, A>);

impl CircuitBreakerLayer {
    pub(crate) fn new(config: CircuitBreaker) -> Self {
        let common = Common::new(config);
        let table = Arc::new(ByMethod::new(common.clone()));
        Self(InterceptLayer::new(Breakers { handle: Handle { common, table }, classify: ByCode }))
    }
}

impl<C> CircuitBreakerLayer<C> {
    /// Judges outcomes by this instead of the code of a [`purlin_endpoint::Error`].
    pub fn classify<D>(self, classify: D) -> CircuitBreakerLayer<D> {
        let handle = self.handle();
        CircuitBreakerLayer(InterceptLayer::new(Breakers { handle, classify }))
    }

    /// Gives each key that this finds a breaker, instead of each method.
    ///
    /// It finds keys in the context of a call, and all calls in which it finds none share a breaker.
    /// So do those of new keys when there are 1,024 keys with breakers that have something to
    /// remember: one that is not closed, counts a failure or has a call running, and was used within
    /// ten minutes. Others are forgotten as new keys come.
    ///
    /// ```
    /// # use purlin_circuitbreaker::CircuitBreaker;
    /// # use purlin_endpoint::Context;
    /// struct Instance(&'static str);
    ///
    /// let each = CircuitBreaker::new().layer()?.by(|c: &Context| c.get().map(|i: &Instance| i.0));
    /// let one_for_all = CircuitBreaker::new().layer()?.by(|_: &Context| None::<String>);
    /// # let _ = (each, one_for_all);
    /// # Ok::<_, purlin_endpoint::Invalid>(())
    /// ```
    pub fn by<K, F>(self, key: F) -> Self
    where
        K: Hash + Eq + Clone + Display + Send + 'static,
        F: Fn(&Context) -> Option<K> + Send + Sync + 'static,
        C: Clone,
    {
        let Breakers { handle, classify } = &**self.0.intercept();
        let common = handle.common.clone();
        let table = Arc::new(ByKey::new(common.clone(), key));
        let handle = Handle { common, table };
        Self(InterceptLayer::new(Breakers { handle, classify: classify.clone() }))
    }

    /// Answers a refused call with a response instead of an error.
    pub fn respond<F>(self, respond: F) -> CircuitBreakerLayer<C, AsResponse<F>> {
        CircuitBreakerLayer(self.0.respond(respond))
    }
}

impl<C, A> CircuitBreakerLayer<C, A> {
    /// Reads and changes the breakers of this layer and its clones.
    pub fn handle(&self) -> Handle {
        self.0.intercept().handle.clone()
    }
}

impl<C, A: Clone, S> Layer<S> for CircuitBreakerLayer<C, A> {
    type Service = Intercepted<Breakers<C>, A, S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(inner)
    }
}

/// All breakers of a [`CircuitBreakerLayer`].
pub struct Breakers<C> {
    handle: Handle,
    classify: C,
}

impl<C> fmt::Debug for Breakers<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breakers").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl<Req: Call, C: Clone> Intercept<Req> for Breakers<C> {
    type Guard = Counted<C>;
    type Refusal = Open;

    #[inline]
    fn before(self: &Arc<Self>, request: &mut Req) -> Result<Counted<C>, Open> {
        let hold = self.handle.table.find(request.context());
        let ticket = hold.0.entry.admit()?;
        let (started, classify) = (request.started(), self.classify.clone());
        let call = Cell::new(Running { ticket, started, outcome: Outcome::Ignored });
        Ok(Counted { hold, classify, call })
    }
}

/// A call that a breaker let in, and whose result it waits for.
pub struct Counted<C> {
    hold: Arc<Apart<Hold>>,
    classify: C,
    /// The cell keeps the compiler from writing "there is no guard" into the middle of an instant,
    /// for which it would move a guard in pieces that no processor forwards: a fifth of the cost.
    call: Cell<Running>,
}

struct Running {
    ticket: Ticket,
    started: Instant,
    outcome: Outcome,
}

impl<C> fmt::Debug for Counted<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted").field("hold", &self.hold).finish_non_exhaustive()
    }
}

impl<Res, Err, C: Classify<Res, Err>> Guard<Res, Err> for Counted<C> {
    #[inline]
    fn response(&mut self, outcome: &mut Result<Res, Err>) {
        self.call.get_mut().outcome = judge(self.classify.classify(outcome));
    }

    #[inline]
    fn end(self, end: End<'_>) {
        let Running { ticket, started, outcome } = self.call.into_inner();
        let at = end.at(started);
        let (outcome, started) = match end.how() {
            How::Returned => (outcome, started),
            // A stream is never slow.
            How::Streamed(Ok(())) => (outcome, at),
            How::Streamed(Err(error)) => (judge(Verdict::of(error.code())), at),
            How::Dropped => (Outcome::Ignored, at),
            How::Panicked => (Outcome::Failure, started),
        };
        let Apart(Hold { entry, place }) = &*self.hold;
        entry.finish(ticket, Ended { outcome, started, at }, *place);
    }
}

/// What an outcome says about the one who served it.
///
/// One who answers is alive, also where the answer is that the caller is mistaken. One who turns a
/// call away for a limit, or gives it up, has shown nothing.
#[inline]
fn judge(verdict: Verdict) -> Outcome {
    match verdict.code {
        _ if verdict.failed => Outcome::Failure,
        Code::ResourceExhausted | Code::Cancelled => Outcome::Ignored,
        _ => Outcome::Success,
    }
}

/// The call was not made: those before it have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// How long until a call may be let in.
    pub retry_after: Duration,
}

impl Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nobody comes back on the nanosecond.
        let millis = self.retry_after.as_nanos().div_ceil(1_000_000);
        let shown = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        write!(f, "the circuit breaker is open, try again in {shown:?}")
    }
}

impl std::error::Error for Open {}

impl From<Open> for Error {
    fn from(open: Open) -> Self {
        Self::new(Code::Unavailable, open).retry_after(open.retry_after).unreached()
    }
}
