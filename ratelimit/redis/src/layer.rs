use crate::{Handle, state::State};
use futures_util::future::{BoxFuture, FutureExt as _};
use purlin_endpoint::{Answer, AsError, AsResponse, Call, Layer, Service};
use purlin_ratelimit::Limited;
use std::{
    mem,
    sync::Arc,
    task::{Context as Task, Poll},
};

/// Limits the rate of the calls that it wraps, together with other processes.
///
/// `A` says how a refusal becomes the outcome: an error, or what [`respond`](Self::respond) makes.
#[derive(Clone, Debug)]
pub struct RedisRateLimitLayer<A = AsError> {
    state: Arc<State>,
    answer: A,
}

impl RedisRateLimitLayer {
    pub(crate) fn new(state: State) -> Self {
        Self { state: Arc::new(state), answer: AsError }
    }
}

impl<A> RedisRateLimitLayer<A> {
    /// Answers a refused call with a response instead of an error.
    pub fn respond<F>(self, respond: F) -> RedisRateLimitLayer<AsResponse<F>> {
        RedisRateLimitLayer { state: self.state, answer: AsResponse::new(respond) }
    }

    /// Shows how things are, and changes the limit while calls run.
    pub fn handle(&self) -> Handle {
        Handle::new(self.state.clone())
    }
}

impl<A: Clone, S> Layer<S> for RedisRateLimitLayer<A> {
    type Service = RedisRateLimited<S, A>;

    fn layer(&self, inner: S) -> RedisRateLimited<S, A> {
        RedisRateLimited { state: self.state.clone(), answer: self.answer.clone(), inner }
    }
}

/// A service whose calls have a rate that is limited together with other processes.
#[derive(Clone, Debug)]
pub struct RedisRateLimited<S, A = AsError> {
    state: Arc<State>,
    answer: A,
    inner: S,
}

impl<S, A, Req> Service<Req> for RedisRateLimited<S, A>
where
    S: Service<Req, Future: Send> + Clone + Send + 'static,
    A: Answer<Limited, S::Response, S::Error> + Clone + Send + 'static,
    Req: Call + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        // The one that was polled ready goes along; its clone is not ready yet.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let (state, answer) = (self.state.clone(), self.answer.clone());
        let question = state.question(request.context());
        async move {
            match state.admit(question).await {
                Ok(()) => inner.call(request).await,
                Err(limited) => answer.answer(limited),
            }
        }
        .boxed()
    }
}
