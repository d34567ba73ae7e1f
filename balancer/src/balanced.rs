use crate::{Balancer, NoEndpoints, load::InFlight, policy::Candidate, table::Table};
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
        let table = self.state().table();
        Balanced { balancer: self.clone(), table, method, classify: ByCode }
    }
}

/// A service over all instances of another: made by [`Balancer::endpoint`].
pub struct Balanced<E, F, C = ByCode> {
    balancer: Balancer<E>,
    /// The table that was the latest when this was called last.
    table: Arc<Table<E>>,
    method: F,
    classify: C,
}

impl<E, F, C> Balanced<E, F, C> {
    /// Says which outcomes are an instance's fault, where its error's code does not.
    pub fn classify<D>(self, classify: D) -> Balanced<E, F, D> {
        let Self { balancer, table, method, .. } = self;
        Balanced { balancer, table, method, classify }
    }
}

impl<E, F: Clone, C: Clone> Clone for Balanced<E, F, C> {
    fn clone(&self) -> Self {
        Self {
            balancer: self.balancer.clone(),
            table: self.table.clone(),
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
    type Future = Intercepting<Invoke<S, Req>, Outstanding<E, C>, S::Response, S::Error>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let (state, context) = (self.balancer.state(), request.context());
        let note = |table: &Table<E>, it: &Candidate<E>| {
            let decision = || table.decision(state.rule(), &it.instance).to_string();
            context.notes().say("balancer", decision);
        };
        let seat = match state.choose(&mut self.table, context, note) {
            Ok((seat, ())) => seat,
            Err(none) => return Intercepting::refused(Err(none.into())),
        };
        let tried = context.get::<Tried>().cloned();
        if let Some(tried) = &tried {
            tried.note(seat.load.id().clone());
        }
        let service = (self.method)(&seat.endpoint);
        let guard = Outstanding {
            // The instance's time begins now, whatever the call has waited for further out.
            picked: state.rule().is_timed().then(Instant::now),
            deadline: context.deadline(),
            seat,
            tried,
            answer: Answer::None,
            classify: self.classify.clone(),
        };
        Intercepting::admitted(guard, request, |request| Invoke::new(service, request))
    }
}

/// A call that an instance is working on.
pub struct Outstanding<E, C> {
    seat: InFlight<E>,
    /// When it was picked, where that matters.
    picked: Option<Instant>,
    deadline: Option<Instant>,
    tried: Option<Tried>,
    answer: Answer,
    classify: C,
}

/// What an instance has answered so far. It is a word, as what holds it is moved as words.
#[repr(usize)]
enum Answer {
    None,
    Succeeded,
    Failed,
}

impl<E, C> Outstanding<E, C> {
    #[inline]
    fn measure(&self, end: &End<'_>, failed: bool) {
        if let Some(picked) = self.picked {
            self.seat.load.observe(end.took(picked), end.at(picked), failed);
        }
    }

    /// The call was a stream, was given up, or panicked.
    #[cold]
    fn end_otherwise(&self, end: &End<'_>) {
        let load = &self.seat.load;
        let is_over = || self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        match end.how() {
            // How long a stream lasted says nothing of how fast the instance is.
            How::Streamed(result) => load.judge(result.is_err_and(|error| error.code().is_fault())),
            // An instance that never answers is found by the calls whose time is over.
            How::Dropped if is_over() => {
                if matches!(self.answer, Answer::None) {
                    self.measure(end, true);
                }
                load.judge(true);
            }
            // Who gave up before says nothing of the instance, and a panic is on this side.
            _ => load.pass_over(),
        }
    }

    /// Whoever tries again learns from the error where not to.
    #[cold]
    fn tell(&self, error: &mut dyn Any) {
        if let Some(error) = error.downcast_mut::<Error>() {
            let tried = self.tried.clone().unwrap_or_else(|| {
                let tried = Tried::default();
                tried.note(self.seat.load.id().clone());
                tried
            });
            let known = mem::replace(error, Error::of(error.code()));
            *error = known.attach(tried);
        }
    }
}

impl<E, C, Res, Err> Guard<Res, Err> for Outstanding<E, C>
where
    E: Send + Sync + 'static,
    Err: 'static,
    C: Classify<Res, Err>,
{
    #[inline]
    fn response(&mut self, outcome: &mut Result<Res, Err>) {
        let failed = self.classify.classify(outcome).failed;
        self.answer = if failed { Answer::Failed } else { Answer::Succeeded };
        if let Err(error) = outcome {
            self.tell(error);
        }
    }

    #[inline]
    fn end(self, end: End<'_>) {
        let failed = match end.how() {
            How::Returned => matches!(self.answer, Answer::Failed),
            _ => return self.end_otherwise(&end),
        };
        self.measure(&end, failed);
        self.seat.load.judge(failed);
    }
}

impl<E, C> fmt::Debug for Outstanding<E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outstanding").field("load", &self.seat.load).finish_non_exhaustive()
    }
}
