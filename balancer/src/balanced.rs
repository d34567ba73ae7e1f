use crate::{Balancer, NoEndpoints, load::Load};
use purlin_endpoint::{
    ByCode, Call, Classify, End, Error, Guard, How, Intercepting, Invoke, Service, Tried,
};
use std::{
    any::Any,
    fmt, mem,
    sync::Arc,
    task::{Context as Task, Poll},
};
use tokio::time::Instant;

impl<E> Balancer<E> {
    /// A service that picks an instance for each call, and calls it with what the function finds
    /// in its endpoint: one method of many.
    ///
    /// It is always ready. A call is refused with [`NoEndpoints`] where there is no instance.
    pub fn endpoint<F>(&self, method: F) -> Balanced<E, F> {
        Balanced { balancer: self.clone(), method, classify: ByCode }
    }
}

/// A service over all instances of another: made by [`Balancer::endpoint`].
pub struct Balanced<E, F, C = ByCode> {
    balancer: Balancer<E>,
    method: F,
    classify: C,
}

impl<E, F, C> Balanced<E, F, C> {
    /// Says which outcomes are an instance's fault, where its error's code does not.
    pub fn classify<D>(self, classify: D) -> Balanced<E, F, D> {
        let Self { balancer, method, .. } = self;
        Balanced { balancer, method, classify }
    }
}

impl<E, F: Clone, C: Clone> Clone for Balanced<E, F, C> {
    fn clone(&self) -> Self {
        Self {
            balancer: self.balancer.clone(),
            method: self.method.clone(),
            classify: self.classify.clone(),
        }
    }
}

impl<E, F, C> fmt::Debug for Balanced<E, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balanced").field("balancer", &self.balancer).finish_non_exhaustive()
    }
}

impl<E, F, C, S, Req> Service<Req> for Balanced<E, F, C>
where
    E: Send + Sync + 'static,
    F: Fn(&E) -> S,
    S: Service<Req, Response: 'static, Error: From<NoEndpoints> + 'static>,
    C: Classify<S::Response, S::Error> + Clone,
    Req: Call,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Intercepting<Invoke<S, Req>, Outstanding<C>, S::Response, S::Error>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let state = self.balancer.state();
        // The instance's time begins now, whatever the call has waited for further out.
        let picked = state.is_timed().then(Instant::now);
        let chosen = state.with_choice(request.context(), picked, |member, load| {
            (InFlight(load.clone()), (self.method)(member.endpoint()))
        });
        let (load, service) = match chosen {
            Ok(chosen) => chosen,
            Err(none) => return Intercepting::refused(Err(none.into())),
        };
        let (context, classify) = (request.context(), self.classify.clone());
        let (deadline, tried) = (context.deadline(), context.get::<Tried>().cloned());
        let guard = Outstanding { load, picked, deadline, classify, failed: None, tried };
        Intercepting::admitted(guard, request, |request| Invoke::new(service, request))
    }
}

/// A call that an instance is working on.
pub struct Outstanding<C> {
    load: InFlight,
    /// When it was picked, where that matters.
    picked: Option<Instant>,
    deadline: Option<Instant>,
    classify: C,
    /// `None` until it is answered.
    failed: Option<bool>,
    tried: Option<Tried>,
}

/// Counts as in flight until it is dropped, whatever panics meanwhile.
struct InFlight(Arc<Load>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.finish();
    }
}

impl<Res, Err, C> Guard<Res, Err> for Outstanding<C>
where
    Err: 'static,
    C: Classify<Res, Err>,
{
    fn response(&mut self, outcome: &mut Result<Res, Err>) {
        self.failed = Some(self.classify.classify(outcome).failed);
        // Whoever tries again learns from the error where not to.
        if let Err(error) = outcome
            && let Some(error) = (error as &mut dyn Any).downcast_mut::<Error>()
        {
            let tried = self.tried.take().unwrap_or_default().and(self.load.0.id().clone());
            let known = mem::replace(error, Error::of(error.code()));
            *error = known.attach(tried);
        }
    }

    fn end(self, end: End<'_>) {
        let is_over = || self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        let (failed, streamed) = match end.how() {
            How::Returned => (self.failed.unwrap_or_default(), false),
            How::Streamed(result) => (result.is_err_and(|error| error.code().is_fault()), true),
            // An instance that never answers is found by the calls whose time is over.
            How::Dropped if is_over() => (true, self.failed.is_some()),
            // Who gave up before says nothing of the instance, and a panic is on this side.
            How::Dropped | How::Panicked => return,
        };
        let load = &self.load.0;
        // How long a stream lasted says nothing of how fast the instance is.
        if let (Some(picked), false) = (self.picked, streamed) {
            let now = end.at(picked);
            load.latency().observe(now.saturating_duration_since(picked), failed, now);
        }
        load.judge(failed);
    }
}

impl<C> fmt::Debug for Outstanding<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outstanding").field("load", &self.load.0).finish_non_exhaustive()
    }
}
