use crate::Unauthenticated;
use futures_util::future::{BoxFuture, Either, FutureExt as _, Ready, ready};
use purlin_endpoint::{Answer, AsError, AsResponse, Call, Context, Inspect, Layer, Service};
use std::{
    fmt, mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context as Task, Poll},
};

/// Finds out who makes a call; in a client, what is shown for that.
pub trait Authenticate: Send + Sync + 'static {
    /// Adds a [`Principal`](crate::Principal) to the context of a call, and whatever else is known
    /// of its caller, or refuses the call. Who lets in a caller without a name takes away the
    /// principal of a layer further out. In a client it adds [`Credentials`](crate::Credentials).
    fn authenticate(self: &Arc<Self>, context: Context) -> Authenticating;

    /// The layer that refuses the calls of callers who are not known.
    fn layer(self) -> AuthLayer<Self>
    where
        Self: Sized,
    {
        let (verify, counts) = (Arc::new(self), Counts::default());
        AuthLayer { shared: Arc::new(Shared { verify, counts }), answer: AsError }
    }
}

/// What [`Authenticate`] says: at once, or, where something has to be waited for, later.
pub enum Authenticating {
    /// It is known already.
    Now(Result<Context, Unauthenticated>),
    /// It will be known.
    Later(BoxFuture<'static, Result<Context, Unauthenticated>>),
}

/// What all clones of a layer share.
#[derive(Debug)]
struct Shared<V> {
    verify: Arc<V>,
    counts: Counts,
}

/// How calls have ended here.
#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    refused: AtomicU64,
    undecided: AtomicU64,
}

impl Counts {
    fn count<T>(&self, outcome: &Result<T, Unauthenticated>) {
        let count = match outcome {
            Ok(_) => &self.accepted,
            Err(refusal) if refusal.challenge().is_some() => &self.refused,
            Err(_) => &self.undecided,
        };
        count.fetch_add(1, Relaxed);
    }
}

/// Lets in the calls whose callers prove who they are.
///
/// `A` says how a refusal becomes the outcome: an error, or what [`respond`](Self::respond) makes.
#[derive(Debug)]
pub struct AuthLayer<V, A = AsError> {
    shared: Arc<Shared<V>>,
    answer: A,
}

impl<V, A> AuthLayer<V, A> {
    /// Answers a refused call with a response instead of an error.
    pub fn respond<F>(self, respond: F) -> AuthLayer<V, AsResponse<F>> {
        AuthLayer { shared: self.shared, answer: AsResponse::new(respond) }
    }

    /// Reads the state.
    pub fn handle(&self) -> Handle<V> {
        Handle(self.shared.clone())
    }
}

impl<V, A: Clone> Clone for AuthLayer<V, A> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), answer: self.answer.clone() }
    }
}

impl<V, A: Clone, S> Layer<S> for AuthLayer<V, A> {
    type Service = Authenticated<S, V, A>;

    fn layer(&self, inner: S) -> Self::Service {
        Authenticated { shared: self.shared.clone(), answer: self.answer.clone(), inner }
    }
}

/// A service whose callers are known.
#[derive(Debug)]
pub struct Authenticated<S, V, A = AsError> {
    shared: Arc<Shared<V>>,
    answer: A,
    inner: S,
}

impl<S: Clone, V, A: Clone> Clone for Authenticated<S, V, A> {
    fn clone(&self) -> Self {
        let (shared, answer) = (self.shared.clone(), self.answer.clone());
        Self { shared, answer, inner: self.inner.clone() }
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
        let Shared { verify, counts } = &*self.shared;
        match verify.authenticate(mem::take(request.context_mut())) {
            Authenticating::Now(known) => {
                counts.count(&known);
                Either::Left(match known {
                    Ok(context) => {
                        *request.context_mut() = context;
                        Either::Left(self.inner.call(request))
                    }
                    Err(refusal) => Either::Right(ready(self.answer.answer(refusal))),
                })
            }
            Authenticating::Later(known) => {
                let (shared, answer) = (self.shared.clone(), self.answer.clone());
                // The one that was polled ready goes along; its clone is not ready yet.
                let clone = self.inner.clone();
                let mut inner = mem::replace(&mut self.inner, clone);
                let call = async move {
                    let known = known.await;
                    shared.counts.count(&known);
                    match known {
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

/// Reads the state of an [`AuthLayer`]: what it has made of calls, and its verifier.
///
/// It is an [`Inspect`] where the verifier is one, as all of this crate's are.
pub struct Handle<V>(Arc<Shared<V>>);

impl<V> Handle<V> {
    /// How many calls were let in.
    pub fn accepted(&self) -> u64 {
        self.0.counts.accepted.load(Relaxed)
    }

    /// How many calls were refused, since their callers have not proved who they are.
    pub fn refused(&self) -> u64 {
        self.0.counts.refused.load(Relaxed)
    }

    /// How many calls were refused since nobody could tell.
    pub fn undecided(&self) -> u64 {
        self.0.counts.undecided.load(Relaxed)
    }

    /// What finds out who calls.
    pub fn verifier(&self) -> &V {
        &self.0.verify
    }
}

impl<V> Clone for Handle<V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<V> fmt::Debug for Handle<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.0.counts).finish()
    }
}

/// Has the name of the verifier, and shows its state beside the counts.
impl<V: Inspect> Inspect for Handle<V> {
    fn name(&self) -> String {
        self.verifier().name()
    }

    fn snapshot(&self) -> String {
        let (accepted, refused) = (self.accepted(), self.refused());
        let (undecided, verifier) = (self.undecided(), self.verifier().snapshot());
        format!(
            r#"{{"accepted":{accepted},"refused":{refused},"undecided":{undecided},"verifier":{verifier}}}"#
        )
    }
}
