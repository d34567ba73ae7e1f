//! Attempts side by side, and the first good answer.

use crate::{
    Failure, Hedge, HedgeLayer, Replay, TimedOut,
    course::Advice,
    failure::{as_error, keep},
    limit::change,
};
use futures_util::{StreamExt as _, future::Either, stream::FuturesUnordered};
use purlin_endpoint::{Call, Classify, Code, Error, Service};
use std::{future::pending, sync::atomic::Ordering::Relaxed};
use tokio::time::{Instant, sleep_until};
use tower::ServiceExt as _;

/// A hedged call.
pub(crate) struct Race<S, Req, C, R> {
    /// `None` if there was nothing left in the purse, the request can't be sent again, or the server
    /// wants no more of it.
    pub(crate) request: Option<Req>,
    pub(crate) service: S,
    pub(crate) hedge: HedgeLayer<C, R>,
    pub(crate) started: Instant,
    pub(crate) deadline: Option<Instant>,
    pub(crate) made: u32,
}

impl<S, Req, C, R> Race<S, Req, C, R>
where
    S: Service<Req, Error: Failure> + Clone,
    C: Classify<S::Response, S::Error>,
    Req: Call,
    R: Replay<Req>,
{
    /// Runs the first attempt, and others beside it. Those that lose are dropped with this future.
    pub(crate) async fn run(mut self, first: S::Future) -> Result<S::Response, S::Error> {
        let config = self.hedge.state.live.config();
        let delay = self.hedge.state.latencies.delay();
        let after = |now: Instant| delay.and_then(|delay| now.checked_add(delay));
        let mut running = FuturesUnordered::new();
        running.push(Either::Left(first));
        let mut failed = Failed { last: None, earlier: Vec::new() };
        let mut next = after(self.started);
        loop {
            tokio::select! {
                biased;
                Some(outcome) = running.next() => match self.failure(&outcome, running.is_empty()) {
                    None => return failed.then(self.end(outcome)),
                    Some(advice) => {
                        // The next attempt need not wait any longer, unless the failure asks for it.
                        next = Instant::now().checked_add(advice.delay.unwrap_or_default());
                        failed.push(outcome, advice);
                    }
                },
                () = alarm(next.into_iter().chain(self.deadline).min()) => {
                    let now = Instant::now();
                    if self.deadline.is_some_and(|deadline| deadline <= now) {
                        return failed.then(Err(self.timed_out().into()));
                    }
                    next = self.again(&config, now).and_then(|request| {
                        running.push(Either::Right(self.service.clone().oneshot(request)));
                        after(now)
                    });
                }
            }
            if self.made >= config.attempts || self.request.is_none() {
                next = None;
            }
            next = next.filter(|next| self.deadline.is_none_or(|deadline| *next < deadline));
            if running.is_empty() && next.is_none() {
                match failed.last.take() {
                    Some((outcome, _)) => return failed.then(outcome),
                    // Without a failure the first attempt still runs.
                    None => continue,
                }
            }
        }
    }

    /// What a failure says that is not the call's outcome yet.
    fn failure(&mut self, outcome: &Result<S::Response, S::Error>, alone: bool) -> Option<Advice> {
        let advice = Advice::of(&self.hedge.classify, outcome)?;
        if advice.helps {
            return Some(advice);
        }
        // It is UNAVAILABLE, and no other attempt is wanted: one that runs already may succeed.
        let waits = advice.code == Code::Unavailable && !alone;
        waits.then(|| {
            self.request = None;
            advice
        })
    }

    /// Takes an outcome as the call's.
    fn end<Res, Err>(&self, outcome: Result<Res, Err>) -> Result<Res, Err> {
        if outcome.is_ok() {
            // The first attempt's own time, or a little less than that if another one has won.
            self.hedge.state.latencies.record(self.started.elapsed());
        }
        outcome
    }

    /// The request of the next attempt, if the budget allows one.
    fn again(&mut self, config: &Hedge, now: Instant) -> Option<Req> {
        let live = &self.hedge.state.live;
        let Some(grant) = live.purse.withdraw(now) else {
            live.refused.fetch_add(1, Relaxed);
            return None;
        };
        let mut request = if self.made + 1 == config.attempts {
            self.request.take()?
        } else {
            self.hedge.replay.replay(self.request.as_ref()?)?
        };
        change(&mut request, |context| context.with_attempt(self.made));
        request.context().notes().attempted();
        request.context().notes().say("hedge", || format!("attempt {} is made", self.made + 1));
        grant.spend();
        live.repeats.fetch_add(1, Relaxed);
        self.made += 1;
        Some(request)
    }

    fn timed_out(&self) -> Error {
        let after = self.deadline.map(|end| end.saturating_duration_since(self.started));
        TimedOut { after: after.unwrap_or_default(), attempt: false }.into()
    }
}

/// The attempts that have failed so far, the last of which may become the call's outcome.
struct Failed<Res, Err> {
    last: Option<(Result<Res, Err>, Advice)>,
    earlier: Vec<Error>,
}

impl<Res, Err: Failure> Failed<Res, Err> {
    fn push(&mut self, outcome: Result<Res, Err>, advice: Advice) {
        let before = self.last.replace((outcome, advice));
        self.earlier.extend(before.map(|(outcome, advice)| as_error(outcome, advice)));
    }

    /// The call ends with this outcome, after all that has failed.
    fn then(self, outcome: Result<Res, Err>) -> Result<Res, Err> {
        let mut earlier = self.earlier;
        earlier.extend(self.last.map(|(outcome, advice)| as_error(outcome, advice)));
        keep(outcome, earlier)
    }
}

/// Waits until then; for ever if there is nothing to wait for.
async fn alarm(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
