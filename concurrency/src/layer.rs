use crate::{
    Handle, Shed,
    limiter::{Entry, Limiter, Permit},
    measured::{Entered, Measured},
};
use futures_util::future::{BoxFuture, Either, FutureExt as _, Ready, ready};
use purlin_endpoint::{
    Answer, AsError, AsResponse, ByCode, Call, Classify, End, Guard, Intercept, InterceptLayer,
    Intercepted, Intercepting, Layer, Observes, Service,
};
use std::{
    convert::Infallible,
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
pub struct ConcurrencyLayer<A = AsError, C = ByCode> {
    limiter: Arc<Limiter>,
    answer: A,
    classify: C,
}

impl ConcurrencyLayer {
    pub(crate) fn new(limiter: Arc<Limiter>) -> Self {
        Self { limiter, answer: AsError, classify: ByCode }
    }
}

impl<A, C> ConcurrencyLayer<A, C> {
    /// Judges outcomes by this instead of the code of a [`purlin_endpoint::Error`].
    pub fn classify<D>(self, classify: D) -> ConcurrencyLayer<A, D> {
        ConcurrencyLayer { limiter: self.limiter, answer: self.answer, classify }
    }

    /// Answers a refused call with a response instead of an error.
    pub fn respond<F>(self, respond: F) -> ConcurrencyLayer<AsResponse<F>, C> {
        let answer = AsResponse::new(respond);
        ConcurrencyLayer { limiter: self.limiter, answer, classify: self.classify }
    }

    /// Reads and changes the limit while calls run.
    pub fn handle(&self) -> Handle {
        Handle(self.limiter.clone())
    }
}

impl<A: Clone, C: Clone, S> Layer<S> for ConcurrencyLayer<A, C> {
    type Service = Limited<S, A, C>;

    fn layer(&self, inner: S) -> Limited<S, A, C> {
        let (limiter, answer) = (self.limiter.clone(), self.answer.clone());
        let holds = Holds { limiter: limiter.clone(), classify: self.classify.clone() };
        Limited { limiter, answer, inner: InterceptLayer::observer(holds).layer(inner) }
    }
}

/// A service with a limited number of calls in flight.
#[derive(Debug)]
pub struct Limited<S, A = AsError, C = ByCode> {
    limiter: Arc<Limiter>,
    answer: A,
    inner: Intercepted<Holds<C>, Observes, S>,
}

impl<S: Clone, A: Clone, C> Clone for Limited<S, A, C> {
    fn clone(&self) -> Self {
        let (limiter, answer) = (self.limiter.clone(), self.answer.clone());
        Self { limiter, answer, inner: self.inner.clone() }
    }
}

/// A call that got in at once, or else was refused or waits. Only one that waits is boxed: it can
/// spare the time, and the others the space.
type Entering<F, C, Res, Err> = Either<Intercepting<F, Held<C>, Res, Err>, Later<Res, Err>>;
type Later<Res, Err> = Either<Ready<Result<Res, Err>>, BoxFuture<'static, Result<Res, Err>>>;

impl<S, A, C, Req: Call + Send + 'static> Service<Req> for Limited<S, A, C>
where
    S: Service<Req, Response: Send, Error: Send, Future: Send> + Clone + Send + 'static,
    A: Answer<Shed, S::Response, S::Error> + Clone + Send + 'static,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Entering<S::Future, C, S::Response, S::Error>;

    #[inline]
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        Service::<Req>::poll_ready(&mut self.inner, task)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        if self.limiter.enter(request.context().criticality()) {
            // The permit is handed over: the first thing done is `Holds::before`, which takes it.
            return Either::Left(self.inner.call(request));
        }
        self.call_without_room(request)
    }
}

impl<S, A, C> Limited<S, A, C> {
    /// Refuses a call or lets it wait. By now it may also find room after all.
    #[cold]
    fn call_without_room<Req: Call + Send + 'static>(
        &mut self,
        mut request: Req,
    ) -> Entering<S::Future, C, S::Response, S::Error>
    where
        S: Service<Req, Response: Send, Error: Send, Future: Send> + Clone + Send + 'static,
        A: Answer<Shed, S::Response, S::Error> + Clone + Send + 'static,
        C: Classify<S::Response, S::Error> + Clone,
    {
        let context = request.context();
        let (criticality, deadline) = (context.criticality(), context.deadline());
        let refuse = move |answer: &A, limiter: &Limiter, shed| {
            limiter.count_shed(criticality);
            answer.answer(shed)
        };
        let place = match self.limiter.join(criticality, deadline, Instant::now()) {
            Ok(Entry::Place(place)) => place,
            Ok(Entry::Permit(permit)) => {
                permit.hand_over();
                return Either::Left(self.inner.call(request));
            }
            Err(shed) => {
                let outcome = refuse(&self.answer, &self.limiter, shed);
                return Either::Right(Either::Left(ready(outcome)));
            }
        };
        let (limiter, answer) = (self.limiter.clone(), self.answer.clone());
        // The one that was polled ready waits with the call; its clone is not ready yet.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let waiting = async move {
            let permit = match place.wait().await {
                Ok(permit) => permit,
                Err(shed) => return refuse(&answer, &limiter, shed),
            };
            if limiter.adapts() {
                Entered::note(&limiter, request.context_mut());
            }
            permit.hand_over();
            inner.call(request).await
        };
        Either::Right(Either::Right(waiting.boxed()))
    }
}

/// Takes over the permit of a call that has entered.
#[derive(Debug)]
pub(crate) struct Holds<C> {
    limiter: Arc<Limiter>,
    classify: C,
}

impl<Req: Call, C: Clone> Intercept<Req> for Holds<C> {
    type Guard = Held<C>;
    type Refusal = Infallible;

    #[inline]
    fn before(self: &Arc<Self>, request: &mut Req) -> Result<Held<C>, Infallible> {
        let permit = Permit(self.limiter.clone());
        let measured =
            if permit.0.adapts() { Measured::new(&permit.0, request) } else { Measured::NOT };
        Ok(Held { permit, measured, classify: self.classify.clone() })
    }
}

/// A call in flight, until its end.
#[derive(Debug)]
pub struct Held<C> {
    permit: Permit,
    measured: Measured,
    classify: C,
}

impl<Res, Err, C: Classify<Res, Err>> Guard<Res, Err> for Held<C> {
    #[inline]
    fn response(&mut self, outcome: &mut Result<Res, Err>) {
        if self.measured.is() {
            let code = self.classify.classify(outcome).code;
            self.measured = self.measured.answered(code);
        }
    }

    #[inline]
    fn end(self, end: End<'_>) {
        if self.measured.is() {
            self.measured.tell(&self.permit.0, &end);
        }
    }
}
