use crate::{
    Handle, Shed,
    adaptive::Sample,
    limiter::{Entry, Limiter, Permit},
};
use futures_util::future::{BoxFuture, Either, FutureExt as _};
use purlin_endpoint::{
    Answer, AsError, AsResponse, ByCode, Call, Classify, Code, Context, End, Guard, How, Intercept,
    InterceptLayer, Intercepted, Intercepting, Layer, Service, Slot,
};
use std::{
    mem,
    sync::Arc,
    task::{Context as Task, Poll},
};
use tokio::time::Instant;

/// Limits how many of the calls that it wraps are in flight at once.
///
/// `A` says how a refusal becomes the outcome: an error, or what [`respond`](Self::respond) makes.
/// `C` says what an outcome was, which an adaptive limit wants to know.
#[derive(Clone, Debug)]
pub struct ConcurrencyLayer<A = AsError, C = ByCode>(InterceptLayer<Admission<C>, A>);

impl ConcurrencyLayer {
    pub(crate) fn new(limiter: Arc<Limiter>) -> Self {
        Self(InterceptLayer::new(Admission { limiter, classify: ByCode }))
    }

    /// Judges outcomes by this instead of the code of a [`purlin_endpoint::Error`].
    pub fn classify<C>(self, classify: C) -> ConcurrencyLayer<AsError, C> {
        let limiter = self.0.intercept().limiter.clone();
        ConcurrencyLayer(InterceptLayer::new(Admission { limiter, classify }))
    }
}

impl<A, C> ConcurrencyLayer<A, C> {
    /// Answers a refused call with a response instead of an error.
    pub fn respond<F>(self, respond: F) -> ConcurrencyLayer<AsResponse<F>, C> {
        ConcurrencyLayer(self.0.respond(respond))
    }

    /// Reads and changes the limit while calls run.
    pub fn handle(&self) -> Handle {
        Handle(self.0.intercept().limiter.clone())
    }
}

impl<A: Clone, C, S> Layer<S> for ConcurrencyLayer<A, C> {
    type Service = Limited<S, A, C>;

    fn layer(&self, inner: S) -> Limited<S, A, C> {
        let limiter = self.0.intercept().limiter.clone();
        Limited { limiter, inner: self.0.layer(Inner(inner)) }
    }
}

/// A service with a limited number of calls in flight.
#[derive(Debug)]
pub struct Limited<S, A = AsError, C = ByCode> {
    limiter: Arc<Limiter>,
    inner: Intercepted<Admission<C>, A, Inner<S>>,
}

impl<S: Clone, A: Clone, C> Clone for Limited<S, A, C> {
    fn clone(&self) -> Self {
        Self { limiter: self.limiter.clone(), inner: self.inner.clone() }
    }
}

impl<S, A, C, Req: Call + Send + 'static> Service<Req> for Limited<S, A, C>
where
    S: Service<Req, Response: Send, Error: Send, Future: Send> + Clone + Send + 'static,
    A: Answer<Shed, S::Response, S::Error> + Clone + Send + 'static,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    /// Only a call that has to wait is boxed: it can spare the time, and the others the space.
    type Future = Either<
        Intercepting<S::Future, Held<C>, S::Response, S::Error>,
        BoxFuture<'static, Result<S::Response, S::Error>>,
    >;

    #[inline]
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        Service::<Decided<Req>>::poll_ready(&mut self.inner, task)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let criticality = request.context().criticality();
        if let Some(permit) = self.limiter.enter(criticality) {
            return Either::Left(self.inner.call(Decided::now(request, Ok(permit))));
        }
        let deadline = request.context().deadline();
        let place = match self.limiter.join(criticality, deadline, Instant::now()) {
            Ok(Entry::Place(place)) => place,
            Ok(Entry::Permit(permit)) => {
                return Either::Left(self.inner.call(Decided::now(request, Ok(permit))));
            }
            Err(shed) => return Either::Left(self.inner.call(Decided::now(request, Err(shed)))),
        };
        // The one that was polled ready waits with the call; its clone is not ready yet.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let waiting = async move {
            let decision = place.wait().await;
            inner.call(Decided { request, decision, entered: Some(Instant::now()) }).await
        };
        Either::Right(waiting.boxed())
    }
}

/// A request, and whether it is let in: what the admission is handed.
#[derive(Debug)]
pub(crate) struct Decided<Req> {
    request: Req,
    decision: Result<Permit, Shed>,
    /// When it was let in, if it has waited.
    entered: Option<Instant>,
}

impl<Req> Decided<Req> {
    fn now(request: Req, decision: Result<Permit, Shed>) -> Self {
        Self { request, decision, entered: None }
    }
}

impl<Req: Call> Call for Decided<Req> {
    fn context(&self) -> &Context {
        self.request.context()
    }

    fn context_mut(&mut self) -> &mut Context {
        self.request.context_mut()
    }

    fn started(&mut self) -> Instant {
        self.request.started()
    }

    fn slot(&self) -> Option<Slot<'_>> {
        self.request.slot()
    }

    fn make_slot(&mut self) {
        self.request.make_slot();
    }
}

/// The service inside, which gets the request alone.
#[derive(Clone, Debug)]
pub(crate) struct Inner<S>(S);

impl<S: Service<Req>, Req> Service<Decided<Req>> for Inner<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(task)
    }

    #[inline]
    fn call(&mut self, decided: Decided<Req>) -> S::Future {
        self.0.call(decided.request)
    }
}

/// Hands the decision over to the call.
#[derive(Debug)]
pub(crate) struct Admission<C> {
    limiter: Arc<Limiter>,
    classify: C,
}

impl<Req: Call, C: Clone> Intercept<Decided<Req>> for Admission<C> {
    type Guard = Held<C>;
    type Refusal = Shed;

    #[inline]
    fn before(self: &Arc<Self>, decided: &mut Decided<Req>) -> Result<Held<C>, Shed> {
        let permit = mem::replace(&mut decided.decision, Err(Shed::Full)).inspect_err(|_| {
            self.limiter.count_shed(decided.context().criticality());
        })?;
        let measure = permit.0.adapts().then(|| Measure {
            classify: self.classify.clone(),
            entered: decided.entered.unwrap_or_else(|| decided.started()),
            deadline: decided.context().deadline(),
            code: None,
        });
        Ok(Held { permit, measure })
    }
}

/// A call in flight, until its end.
#[derive(Debug)]
pub struct Held<C> {
    permit: Permit,
    measure: Option<Measure<C>>,
}

/// What an adaptive limit learns from a call.
#[derive(Debug)]
struct Measure<C> {
    classify: C,
    entered: Instant,
    deadline: Option<Instant>,
    code: Option<Code>,
}

impl<Res, Err, C: Classify<Res, Err>> Guard<Res, Err> for Held<C> {
    #[inline]
    fn response(&mut self, outcome: &mut Result<Res, Err>) {
        if let Some(measure) = &mut self.measure {
            measure.code = Some(measure.classify.classify(outcome).code);
        }
    }

    #[inline]
    fn end(self, end: End<'_>) {
        if let Some(sample) = self.measure.and_then(|measure| measure.sample(&end)) {
            self.permit.0.sample(&sample);
        }
    }
}

impl<C> Measure<C> {
    fn sample(&self, end: &End<'_>) -> Option<Sample> {
        let at = end.at(self.entered);
        let code = match end.how() {
            How::Returned => self.code?,
            How::Streamed(Err(error)) => error.code(),
            How::Dropped if self.deadline.is_some_and(|deadline| deadline <= at) => {
                Code::DeadlineExceeded
            }
            // How long a stream takes is up to who reads it.
            How::Streamed(Ok(())) | How::Dropped | How::Panicked => return None,
        };
        match code {
            Code::Ok => Some(Sample { at, took: Some(at.saturating_duration_since(self.entered)) }),
            Code::DeadlineExceeded | Code::ResourceExhausted | Code::Unavailable => {
                Some(Sample { at, took: None })
            }
            _ => None,
        }
    }
}
