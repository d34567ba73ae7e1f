use crate::{
    Answer, AsError, AsResponse, Call, End, How, Observes, Within, clock,
    end::{EndSlot, Parked},
};
use pin_project_lite::pin_project;
use std::{
    any, fmt,
    future::Future,
    marker::PhantomData,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll, ready},
};
use tower_layer::Layer;
use tower_service::Service;

/// A decision in front of a call: let it in, with a guard, or refuse it.
///
/// This is all that most middlewares are. They write these synchronous functions; the future that
/// joins them is [`Intercepting`], written once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a decision about requests of type `{Req}`",
    note = "implement `Intercept<{Req}>` for it, or `impl<Req: Call> Intercept<Req>` for any request"
)]
pub trait Intercept<Req> {
    /// Lives as long as the call. `()` if nothing is to be done afterwards.
    type Guard;
    /// Why a call is not let in. [`Infallible`](std::convert::Infallible) for those that only
    /// observe.
    type Refusal;

    /// Decides about a call, and may change its request.
    ///
    /// # Errors
    ///
    /// The refusal: the inner service is not called.
    fn before(self: &Arc<Self>, request: &mut Req) -> Result<Self::Guard, Self::Refusal>;

    /// What the layer is called in a call's [`Notes`](crate::Notes): the name of its type, unless
    /// it says another.
    fn name(&self) -> &'static str {
        let name = any::type_name::<Self>();
        let name = name.split_once('<').map_or(name, |(name, _)| name);
        name.rsplit_once("::").map_or(name, |(_, name)| name)
    }
}

/// What happens when a call that was let in is answered, and when it ends.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't guard calls that return `Result<{Res}, {Err}>`",
    note = "implement `Guard<{Res}, {Err}>` for it, or use `()` where nothing is to be done afterwards"
)]
pub trait Guard<Res, Err>: Send + 'static {
    /// Whether nothing is to be done after the call: then neither [`response`](Self::response) nor
    /// [`end`](Self::end) nor [`enter`](Self::enter) is called, and the call costs next to nothing.
    const IDLE: bool = false;

    /// Sees the outcome, or the head of a stream, and may change it.
    fn response(&mut self, outcome: &mut Result<Res, Err>) {
        let _ = outcome;
    }

    /// Ends the call. It is called exactly once, however the call ends.
    fn end(self, end: End<'_>);

    /// Enters a scope around all work of the call: until what it returns is dropped.
    ///
    /// It surrounds the inner call, each poll, the drop, and each poll of a stream.
    fn enter(&self) -> impl Sized {}
}

impl<Res, Err> Guard<Res, Err> for () {
    const IDLE: bool = true;

    fn end(self, _: End<'_>) {}
}

/// A [`Layer`] made of a decision. Its clones, and all that they wrap, share the decision's state.
pub struct InterceptLayer<I, A = AsError> {
    intercept: Arc<I>,
    answer: A,
}

impl<I> InterceptLayer<I> {
    /// A layer that refuses with an error.
    pub fn new(intercept: I) -> Self {
        Self { intercept: Arc::new(intercept), answer: AsError }
    }
}

impl<I> InterceptLayer<I, Observes> {
    /// A layer that refuses nothing.
    pub fn observer(intercept: I) -> Self {
        Self { intercept: Arc::new(intercept), answer: Observes }
    }
}

impl<I, A> InterceptLayer<I, A> {
    /// Answers a refused call with a response instead of an error.
    pub fn respond<F>(self, respond: F) -> InterceptLayer<I, AsResponse<F>> {
        InterceptLayer { intercept: self.intercept, answer: AsResponse::new(respond) }
    }

    /// The decision, as it is shared by everything that the layer has wrapped.
    pub fn intercept(&self) -> &Arc<I> {
        &self.intercept
    }
}

impl<I, A: Clone> Clone for InterceptLayer<I, A> {
    fn clone(&self) -> Self {
        Self { intercept: self.intercept.clone(), answer: self.answer.clone() }
    }
}

impl<I: fmt::Debug, A> fmt::Debug for InterceptLayer<I, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InterceptLayer").field(&self.intercept).finish()
    }
}

impl<I, A: Clone, S> Layer<S> for InterceptLayer<I, A> {
    type Service = Intercepted<I, A, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Intercepted { intercept: self.intercept.clone(), answer: self.answer.clone(), inner }
    }
}

/// A service behind a decision.
///
/// It is ready when the inner service is: a decision is made when a call comes, never before.
pub struct Intercepted<I, A, S> {
    intercept: Arc<I>,
    answer: A,
    inner: S,
}

impl<I, A: Clone, S: Clone> Clone for Intercepted<I, A, S> {
    fn clone(&self) -> Self {
        Self {
            intercept: self.intercept.clone(),
            answer: self.answer.clone(),
            inner: self.inner.clone(),
        }
    }
}

impl<I: fmt::Debug, A, S: fmt::Debug> fmt::Debug for Intercepted<I, A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intercepted")
            .field("intercept", &self.intercept)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<I, A, S, Req> Service<Req> for Intercepted<I, A, S>
where
    Req: Call,
    S: Service<Req, Response: 'static, Error: 'static>,
    I: Intercept<Req, Guard: Guard<S::Response, S::Error>>,
    A: Answer<I::Refusal, S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Intercepting<S::Future, I::Guard, S::Response, S::Error>;

    #[inline]
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let within = request.context().notes().enter(|| self.intercept.name());
        match self.intercept.before(&mut request) {
            Ok(guard) => Intercepting::begun(guard, within, request, |it| self.inner.call(it)),
            Err(refusal) => Intercepting::refused(self.answer.answer(refusal)),
        }
    }
}

/// A guard, and all it needs to be ended exactly once.
struct Armed<G: Guard<Res, Err>, Res, Err> {
    /// `None` once it has ended or is parked, and for a call that was refused or needs no guard.
    guard: Option<G>,
    slot: Option<EndSlot>,
    panicked: bool,
    /// Where the call's notes are read, says in them when the call has left the layer.
    within: Option<Within>,
    outcome: PhantomData<fn() -> (Res, Err)>,
}

impl<G: Guard<Res, Err>, Res, Err> Armed<G, Res, Err> {
    #[inline]
    fn none() -> Self {
        Self { guard: None, slot: None, panicked: false, within: None, outcome: PhantomData }
    }

    #[inline]
    fn new(guard: G, within: Option<Within>, request: &impl Call) -> Self {
        let slot = request.slot().map(|slot| slot.0.clone());
        Self { guard: Some(guard), slot, panicked: false, within, outcome: PhantomData }
    }

    /// Does work of the call in its scope, and notes whether it panics.
    #[inline]
    fn work<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let noting = NotePanic(&mut self.panicked);
        let done = {
            let _scope = self.guard.as_ref().map(Guard::enter);
            work()
        };
        mem::forget(noting);
        done
    }
}

/// Notes the panic that drops it. It is forgotten otherwise, which costs nothing.
struct NotePanic<'a>(&'a mut bool);

impl Drop for NotePanic<'_> {
    fn drop(&mut self) {
        *self.0 = true;
    }
}

impl<G: Guard<Res, Err>, Res: 'static, Err: 'static> Armed<G, Res, Err> {
    #[inline]
    fn answered(&mut self, outcome: &mut Result<Res, Err>) {
        let noting = NotePanic(&mut self.panicked);
        if let Some(guard) = &mut self.guard {
            guard.response(outcome);
        }
        mem::forget(noting);
        let Some(guard) = self.guard.take() else { return };
        let within = self.within.take();
        match self.slot.take() {
            Some(slot) if outcome.is_ok() => {
                let waiting = Waiting { guard, within, outcome: PhantomData };
                if let Some(waiting) = slot.park(waiting, Waiting::<G, Res, Err>::boxed) {
                    waiting.guard.end(End::new(How::Returned));
                }
            }
            // Most calls get here without their guard having been moved.
            _ => guard.end(End::new(How::Returned)),
        }
    }
}

impl<G: Guard<Res, Err>, Res, Err> Drop for Armed<G, Res, Err> {
    #[inline]
    fn drop(&mut self) {
        if let Some(guard) = self.guard.take() {
            let how = if self.panicked { How::Panicked } else { How::Dropped };
            guard.end(End::new(how));
        }
    }
}

/// A guard that waits for the end of its stream.
struct Waiting<G, Res, Err> {
    guard: G,
    /// Kept until the guard has ended.
    within: Option<Within>,
    outcome: PhantomData<fn() -> (Res, Err)>,
}

impl<G: Guard<Res, Err>, Res: 'static, Err: 'static> Waiting<G, Res, Err> {
    fn boxed(self) -> Box<dyn Parked> {
        Box::new(self)
    }
}

impl<G: Guard<Res, Err>, Res, Err> Parked for Waiting<G, Res, Err> {
    fn scoped(&self, work: &mut dyn FnMut()) {
        let _scope = self.guard.enter();
        work();
    }

    fn end(self: Box<Self>, end: End<'_>) {
        let Self { guard, within, .. } = *self;
        guard.end(end);
        drop(within);
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, Outcome> {
        Calling { #[pin] inner: F },
        Refused { outcome: Option<Outcome> },
        Done,
    }
}

pin_project! {
    /// The future of an intercepted call.
    pub struct Intercepting<F, G: Guard<Res, Err>, Res, Err> {
        #[pin]
        state: State<F, Result<Res, Err>>,
        armed: Armed<G, Res, Err>,
    }

    impl<F, G: Guard<Res, Err>, Res, Err> PinnedDrop for Intercepting<F, G, Res, Err> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.armed.guard.is_some() {
                // It may have been long since the last poll.
                clock::forget();
                // What the inner future does as it is dropped belongs to the call as well.
                this.armed.work(|| this.state.set(State::Done));
            }
        }
    }
}

impl<F, G: Guard<Res, Err>, Res, Err> Intercepting<F, G, Res, Err> {
    /// A call that a decision has let in with this guard, and how it is called.
    ///
    /// This and [`refused`](Self::refused) are for services that decide more than whether a call
    /// gets in, such as where it goes; whoever only decides that is an [`Intercept`].
    #[inline]
    pub fn admitted<Req: Call>(guard: G, request: Req, call: impl FnOnce(Req) -> F) -> Self {
        Self::begun(guard, None, request, call)
    }

    #[inline]
    fn begun<Req: Call>(
        guard: G,
        within: Option<Within>,
        request: Req,
        call: impl FnOnce(Req) -> F,
    ) -> Self {
        if G::IDLE {
            let mut armed = Armed::none();
            armed.within = within;
            return Self { state: State::Calling { inner: call(request) }, armed };
        }
        // Made in one go: what is filled in later is moved once more by each layer around it.
        let mut armed = Armed::new(guard, within, &request);
        Self { state: State::Calling { inner: armed.work(|| call(request)) }, armed }
    }

    /// A call that was refused, with this outcome.
    #[inline]
    pub fn refused(outcome: Result<Res, Err>) -> Self {
        Self { state: State::Refused { outcome: Some(outcome) }, armed: Armed::none() }
    }
}

impl<F, G, Res, Err> Future for Intercepting<F, G, Res, Err>
where
    F: Future<Output = Result<Res, Err>>,
    G: Guard<Res, Err>,
    Res: 'static,
    Err: 'static,
{
    type Output = Result<Res, Err>;

    #[inline]
    fn poll(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let inner = match this.state.as_mut().project() {
            StateProjection::Calling { inner } => inner,
            StateProjection::Refused { outcome } => match outcome.take() {
                Some(outcome) => return Poll::Ready(outcome),
                None => polled_after_the_end(),
            },
            StateProjection::Done => polled_after_the_end(),
        };
        if G::IDLE {
            return inner.poll(task);
        }
        clock::forget();
        let mut outcome = ready!(this.armed.work(|| inner.poll(task)));
        this.armed.work(|| this.state.set(State::Done));
        this.armed.answered(&mut outcome);
        Poll::Ready(outcome)
    }
}

#[cold]
fn polled_after_the_end() -> ! {
    panic!("`Intercepting` polled after its end")
}

impl<F, G: Guard<Res, Err>, Res, Err> fmt::Debug for Intercepting<F, G, Res, Err> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intercepting").finish_non_exhaustive()
    }
}
