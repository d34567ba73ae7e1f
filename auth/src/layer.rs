use crate::Unauthenticated;
use futures_util::future::{BoxFuture, Either, FutureExt as _, Ready, ready};
use purlin_endpoint::{Answer, AsError, AsResponse, Call, Context, Layer, Service};
use std::{
    mem,
    sync::Arc,
    task::{Context as Task, Poll},
};

/// Finds out who makes a call; in a client, what is shown for that.
pub trait Authenticate: Send + Sync + 'static {
    /// Adds a [`Principal`](crate::Principal) to the context of a call, and whatever else is known
    /// of its caller, or refuses the call. In a client it adds [`Credentials`](crate::Credentials).
    fn authenticate(self: &Arc<Self>, context: Context) -> Authenticating;

    /// The layer that refuses the calls of callers who are not known.
    fn layer(self) -> AuthLayer<Self>
    where
        Self: Sized,
    {
        AuthLayer { verify: Arc::new(self), answer: AsError }
    }
}

/// What [`Authenticate`] says: at once, or, where something has to be waited for, later.
pub enum Authenticating {
    /// It is known already.
    Now(Result<Context, Unauthenticated>),
    /// It will be known.
    Later(BoxFuture<'static, Result<Context, Unauthenticated>>),
}

/// Lets in the calls whose callers prove who they are.
///
/// `A` says how a refusal becomes the outcome: an error, or what [`respond`](Self::respond) makes.
#[derive(Debug)]
pub struct AuthLayer<V, A = AsError> {
    verify: Arc<V>,
    answer: A,
}

impl<V, A> AuthLayer<V, A> {
    /// Answers a refused call with a response instead of an error.
    pub fn respond<F>(self, respond: F) -> AuthLayer<V, AsResponse<F>> {
        AuthLayer { verify: self.verify, answer: AsResponse::new(respond) }
    }
}

impl<V, A: Clone> Clone for AuthLayer<V, A> {
    fn clone(&self) -> Self {
        Self { verify: self.verify.clone(), answer: self.answer.clone() }
    }
}

impl<V, A: Clone, S> Layer<S> for AuthLayer<V, A> {
    type Service = Authenticated<S, V, A>;

    fn layer(&self, inner: S) -> Self::Service {
        Authenticated { verify: self.verify.clone(), answer: self.answer.clone(), inner }
    }
}

/// A service whose callers are known.
#[derive(Debug)]
pub struct Authenticated<S, V, A = AsError> {
    verify: Arc<V>,
    answer: A,
    inner: S,
}

impl<S: Clone, V, A: Clone> Clone for Authenticated<S, V, A> {
    fn clone(&self) -> Self {
        let (verify, answer) = (self.verify.clone(), self.answer.clone());
        Self { verify, answer, inner: self.inner.clone() }
    }
}

/// The call, or its refusal, at once; or, in a box, either of them when it is known who calls.
type Deciding<F, Outcome> = Either<Either<F, Ready<Outcome>>, BoxFuture<'static, Outcome>>;

impl<S, V, A, Req> Service<Req> for Authenticated<S, V, A>
where
    S: Service<Req, Response: Send, Error: Send, Future: Send> + Clone + Send + 'static,
    V: Authenticate,
    A: Answer<Unauthenticated, S::Response, S::Error> + Clone + Send + 'static,
    Req: Call + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Deciding<S::Future, Result<S::Response, S::Error>>;

    #[inline]
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        let authenticating = self.verify.authenticate(mem::take(request.context_mut()));
        match authenticating {
            Authenticating::Now(Ok(context)) => {
                *request.context_mut() = context;
                Either::Left(Either::Left(self.inner.call(request)))
            }
            Authenticating::Now(Err(refusal)) => {
                Either::Left(Either::Right(ready(self.answer.answer(refusal))))
            }
            Authenticating::Later(known) => {
                let answer = self.answer.clone();
                // The one that was polled ready goes along; its clone is not ready yet.
                let clone = self.inner.clone();
                let mut inner = mem::replace(&mut self.inner, clone);
                let call = async move {
                    match known.await {
                        Ok(context) => {
                            *request.context_mut() = context;
                            inner.call(request).await
                        }
                        Err(refusal) => answer.answer(refusal),
                    }
                };
                Either::Right(call.boxed())
            }
        }
    }
}
