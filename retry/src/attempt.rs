//! One attempt after the other: what tower's retry asks before and after each.

use crate::{
    Failure, Replay, TimedOut,
    budget::Grant,
    course::{Advice, Course},
    failure::{AsFailure, as_error, keep},
    limit::{Limit, change},
    retry::Setup,
};
use futures_util::future::{Either, Ready, ready};
use purlin_endpoint::{Call, Classify, Code, Error, Expiring, Service, Tried};
use std::{
    mem,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context as Task, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};
use tower::{ServiceExt as _, retry::Policy, util::Oneshot};

/// What is known of a call beside its request.
#[derive(Clone, Copy, Default)]
pub(crate) struct Plan {
    pub(crate) deadline: Option<Instant>,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) idempotent: bool,
    /// Somebody here decides about its failures; else they are passed on.
    pub(crate) goes_on: bool,
    /// There was something left in the purse when the call came.
    pub(crate) affordable: bool,
}

/// The request of an attempt.
pub struct Attempt<Req> {
    /// `None` where there will be no such attempt: then this only waits for the one before it.
    request: Option<Req>,
    /// How many attempts came before.
    before: u32,
    plan: Plan,
}

impl<Req> Attempt<Req> {
    #[inline]
    pub(crate) fn first(request: Req, plan: Plan) -> Self {
        Self { request: Some(request), before: 0, plan }
    }
}

/// Sends attempts. It is always ready: who calls it readies the inner service for the first.
#[derive(Clone)]
pub struct Attempting<S>(pub(crate) S);

/// A first attempt through the service that was readied for it, or another through a fresh one.
type Sending<S, Req> = Either<<S as Service<Req>>::Future, Oneshot<S, Req>>;

impl<S, Req: Call> Service<Attempt<Req>> for Attempting<S>
where
    S: Service<Req, Error: Failure> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Expiring<Sending<S, Req>, TimedOut, AsFailure>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    // Always, for what this returns is large, and moving it costs a fifth of a call's instructions.
    #[inline(always)]
    fn call(&mut self, attempt: Attempt<Req>) -> Self::Future {
        let Attempt { request: Some(mut request), before, plan } = attempt else {
            unreachable!("only an attempt that has a request is waited for");
        };
        let notes = request.context().notes();
        // A first attempt may be that of another layer further out, which has counted it.
        if before > 0 || notes.attempts() == 0 {
            notes.attempted();
        }
        let limit = Limit::of(&mut request, plan.deadline, plan.attempt_timeout);
        limit.on(match before {
            0 => Either::Left(self.0.call(request)),
            _ => Either::Right(self.0.clone().oneshot(request)),
        })
    }
}

/// Decides about the attempts of one call. A clone begins with another call.
pub struct Repeating<C, R> {
    setup: Arc<Setup<C, R>>,
    /// `None` until an attempt has failed: most calls are spared all of it.
    failed: Option<Box<Failed>>,
}

/// What is remembered of a call that has failed at least once.
struct Failed {
    course: Course,
    earlier: Vec<Error>,
    /// Taken out for the next attempt, and given back if that is never made.
    grant: Option<Grant>,
}

impl Failed {
    fn first() -> Box<Self> {
        Box::new(Self { course: Course::first(), earlier: Vec::new(), grant: None })
    }
}

impl<C, R> Repeating<C, R> {
    #[inline]
    pub(crate) fn new(setup: Arc<Setup<C, R>>) -> Self {
        Self { setup, failed: None }
    }

    /// How long to wait before the next attempt, if there is to be one.
    fn next<Req>(
        &self,
        failed: &mut Failed,
        attempt: &Attempt<Req>,
        advice: Advice,
    ) -> Option<Duration> {
        let live = &self.setup.state.live;
        let (plan, now) = (attempt.plan, Instant::now());
        let left = plan.deadline.map(|deadline| deadline.saturating_duration_since(now));
        let draw = fastrand::f64();
        let wait = failed.course.next(&live.config(), advice, plan.idempotent, left, draw)?;
        failed.grant = live.purse.withdraw(now);
        if failed.grant.is_none() {
            live.refused.fetch_add(1, Relaxed);
        }
        (failed.grant.is_some() && attempt.request.is_some()).then_some(wait)
    }

    /// Asks the callback, if there is one: whether to go on, and what to end with instead.
    fn ask<Res, Err: Failure>(
        &self,
        number: u32,
        outcome: &Result<Res, Err>,
        advice: Advice,
    ) -> (bool, Option<Error>) {
        let Some(callback) = &self.setup.rules.callback else { return (true, None) };
        match outcome.as_ref().err().and_then(Failure::error) {
            Some(error) => callback(number, error),
            None => callback(number, &Error::of(advice.code)),
        }
    }

    /// Waits for the next attempt, or makes the failure the call's outcome.
    fn after_failure<Req: Call, Res, Err: Failure>(
        &mut self,
        next: &mut Attempt<Req>,
        outcome: &mut Result<Res, Err>,
        advice: Advice,
    ) -> Option<Either<Ready<()>, Sleep>> {
        let mut failed = self.failed.take().unwrap_or_else(Failed::first);
        let (go_on, instead) = self.ask(failed.course.made, outcome, advice);
        let wait = if go_on { self.next(&mut failed, next, advice) } else { None };
        let error = outcome.as_ref().err().and_then(Failure::error);
        let tried = error.and_then(Error::attached::<Tried>).cloned();
        let taken = mem::replace(outcome, Err(Error::of(Code::Unknown).into()));
        let (Some(wait), Some(request)) = (wait, &mut next.request) else {
            let last = match instead {
                None => taken,
                Some(instead) => {
                    failed.earlier.push(as_error(taken, advice));
                    Err(instead.into())
                }
            };
            *outcome = keep(last, failed.earlier);
            return None;
        };
        failed.earlier.push(as_error(taken, advice));
        self.failed = Some(failed);
        request.context().notes().say("retry", || {
            format!("attempt {} failed with {}: again in {wait:?}", next.before, advice.code)
        });
        change(request, |context| {
            let context = context.with_attempt(next.before);
            // A balancer further in passes over the instances that have failed.
            match tried {
                Some(tried) if context.get::<Tried>().is_none() => context.with(tried),
                _ => context,
            }
        });
        Some(if wait.is_zero() { Either::Left(ready(())) } else { Either::Right(sleep(wait)) })
    }
}

impl<C, R> Clone for Repeating<C, R> {
    #[inline]
    fn clone(&self) -> Self {
        Self::new(self.setup.clone())
    }
}

impl<C, R, Req: Call, Res, Err: Failure> Policy<Attempt<Req>, Res, Err> for Repeating<C, R>
where
    C: Classify<Res, Err>,
    R: Replay<Req>,
{
    type Future = Either<Ready<()>, Sleep>;

    #[inline]
    fn retry(
        &mut self,
        next: &mut Attempt<Req>,
        outcome: &mut Result<Res, Err>,
    ) -> Option<Self::Future> {
        let advice = Advice::of(&self.setup.rules.classify, outcome)?;
        self.after_failure(next, outcome, advice)
    }

    /// It is asked just before each attempt for what the next one would be.
    #[inline]
    fn clone_request(&mut self, attempt: &Attempt<Req>) -> Option<Attempt<Req>> {
        let Attempt { request, before, plan } = attempt;
        if !plan.goes_on {
            return None;
        }
        let Setup { state, rules } = &*self.setup;
        if let Some(grant) = self.failed.as_mut().and_then(|failed| failed.grant.take()) {
            grant.spend();
            state.live.repeats.fetch_add(1, Relaxed);
        }
        let before = before + 1;
        let request = match request {
            Some(request) if plan.affordable && before < state.attempts() => {
                rules.replay.replay(request)
            }
            _ => None,
        };
        Some(Attempt { request, before, plan: *plan })
    }
}
