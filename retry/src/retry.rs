use crate::{
    Attempts, Budget, Cloned, Failure, Grant, Purse, Replay, RetryHandle, TimedOut,
    attempts::AsFailure,
    course::{Advice, Course},
    handle::{Live, RetryState},
    send::{Limit, change, is_repeated, send},
};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Either, Join, Ready, Then, join, ready},
};
use purlin_endpoint::{
    Backoff, ByCode, Call, Classify, Error, Expiring, Invalid, Layer, Method, Service,
};
use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context as Task, Poll},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How often a call is repeated, and when.
///
/// The default is three attempts in all; 25 ms before the second and twice that before the third,
/// at most 250 ms, ± 20 %, as in gRPC's
/// [A44](https://github.com/grpc/proposal/blob/master/A44-xds-retry.md); no limit for one attempt;
/// and the default [`Budget`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub struct Retry {
    pub(crate) attempts: u32,
    pub(crate) backoff: Backoff,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration::option"))]
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) budget: Budget,
}

impl Default for Retry {
    fn default() -> Self {
        let first = Duration::from_millis(25);
        Self {
            attempts: 3,
            backoff: Backoff::new(first).multiplier(2.0).longest(10 * first),
            attempt_timeout: None,
            budget: Budget::default(),
        }
    }
}

impl Retry {
    /// Makes this many attempts in all: 1 to 5.
    pub fn attempts(attempts: u32) -> Self {
        Self { attempts, ..Self::default() }
    }

    /// Waits this long before each further attempt, unless the failure asks for a delay.
    #[must_use]
    pub const fn backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// Gives each attempt this much time, and never more than the call has left.
    #[must_use]
    pub const fn attempt_timeout(self, timeout: Duration) -> Self {
        Self { attempt_timeout: Some(timeout), ..self }
    }

    /// Repeats no more calls than this allows.
    #[must_use]
    pub const fn budget(self, budget: Budget) -> Self {
        Self { budget, ..self }
    }

    /// Builds the layer, with a purse of its own.
    ///
    /// # Errors
    ///
    /// If the attempts are not 1 to 5, more than which gRPC's
    /// [A6](https://github.com/grpc/proposal/blob/master/A6-client-retries.md) makes of nothing;
    /// an attempt has no time; or the backoff or the budget is no good.
    pub fn layer(self) -> Result<RetryLayer, Invalid> {
        self.build(self.budget.purse()?, false)
    }

    /// Builds a layer that shares this purse, and has no budget of its own.
    ///
    /// # Errors
    ///
    /// As for [`layer`](Self::layer).
    pub fn layer_on(self, purse: &Purse) -> Result<RetryLayer, Invalid> {
        self.build(purse.clone(), true)
    }

    fn build(self, purse: Purse, shares: bool) -> Result<RetryLayer, Invalid> {
        self.check()?;
        let state = Arc::new(RetryState::new(Live::new(self, purse, shares)));
        Ok(RetryLayer { state, rules: Rules { classify: ByCode, replay: Cloned, callback: None } })
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        check_attempts(self.attempts, 1)?;
        if self.attempt_timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(Invalid { field: "attempt_timeout", why: "must be more than zero" });
        }
        self.backoff.check()?;
        self.budget.check()
    }
}

/// Repeats calls that failed.
///
/// `C` says which responses count as failures, `R` how a request is sent again.
#[derive(Clone)]
pub struct RetryLayer<C = ByCode, R = Cloned> {
    state: Arc<RetryState>,
    rules: Rules<C, R>,
}

#[derive(Clone)]
struct Rules<C, R> {
    classify: C,
    replay: R,
    callback: Option<Callback>,
}

/// From the number of the attempt and its failure to whether to go on, and with which error to end.
type Callback = Arc<dyn Fn(u32, &Error) -> (bool, Option<Error>) + Send + Sync>;

impl<C, R> RetryLayer<C, R> {
    /// Repeats also what this says is `UNAVAILABLE`: responses, such as an HTTP 503, and errors with
    /// other codes.
    pub fn classify<D>(self, classify: D) -> RetryLayer<D, R> {
        let Rules { replay, callback, .. } = self.rules;
        RetryLayer { state: self.state, rules: Rules { classify, replay, callback } }
    }

    /// Makes further requests with this function instead of a clone.
    pub fn replay<Q>(self, replay: Q) -> RetryLayer<C, Q> {
        let Rules { classify, callback, .. } = self.rules;
        RetryLayer { state: self.state, rules: Rules { classify, replay, callback } }
    }

    /// Asks this after every failed attempt, with its number from 1 and its error: whether to go on,
    /// and with which error to end instead if this was the last one.
    ///
    /// It can end a call early; it can't repeat what must not be repeated. A response that counts as
    /// a failure is shown as an error with its code.
    #[must_use]
    pub fn callback<F>(mut self, callback: F) -> Self
    where
        F: Fn(u32, &Error) -> (bool, Option<Error>) + Send + Sync + 'static,
    {
        self.rules.callback = Some(Arc::new(callback));
        self
    }

    /// Reads the layer's state, and changes its configuration.
    pub fn handle(&self) -> RetryHandle {
        RetryHandle(self.state.clone())
    }
}

impl<C, R> fmt::Debug for RetryLayer<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RetryLayer").field(&self.state.live.config()).finish()
    }
}

impl<C: Clone, R: Clone, S> Layer<S> for RetryLayer<C, R> {
    type Service = Retried<S, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        let rules = self.rules.clone();
        Retried { setup: Arc::new(Setup { state: self.state.clone(), rules }), inner }
    }
}

/// A service whose calls are repeated if they fail.
pub struct Retried<S, C = ByCode, R = Cloned> {
    setup: Arc<Setup<C, R>>,
    inner: S,
}

struct Setup<C, R> {
    state: Arc<RetryState>,
    rules: Rules<C, R>,
}

impl<S: Clone, C, R> Clone for Retried<S, C, R> {
    fn clone(&self) -> Self {
        Self { setup: self.setup.clone(), inner: self.inner.clone() }
    }
}

impl<S: fmt::Debug, C, R> fmt::Debug for Retried<S, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retried").field("inner", &self.inner).finish_non_exhaustive()
    }
}

type Outcome<S, Req> = Result<<S as Service<Req>>::Response, <S as Service<Req>>::Error>;

/// What follows the first attempt: its outcome, or further attempts, which are worth an allocation.
type After<S, Req> = Either<Ready<Outcome<S, Req>>, BoxFuture<'static, Outcome<S, Req>>>;

/// What there is when the first attempt has ended: its outcome, and what further ones need.
type Begun<S, Req, C, R> = (Outcome<S, Req>, Option<Kept<S, Req, C, R>>);

/// The future of a call that may be repeated: the first attempt, with what is kept for others
/// beside it.
type Retrying<S, Req, C, R> = Then<
    Join<
        Expiring<<S as Service<Req>>::Future, TimedOut, AsFailure>,
        Ready<Option<Kept<S, Req, C, R>>>,
    >,
    After<S, Req>,
    fn(Begun<S, Req, C, R>) -> After<S, Req>,
>;

impl<S, C, R, Req> Service<Req> for Retried<S, C, R>
where
    S: Service<Req, Response: Send, Error: Failure, Future: Send> + Clone + Send + 'static,
    C: Classify<S::Response, S::Error>,
    Req: Call + Send + 'static,
    R: Replay<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Retrying<S, Req, C, R>;

    #[inline]
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let (kept, limit) = self.keep(&mut request);
        // The readied service makes the first attempt with the caller's own request; only that one
        // knows the end of its stream.
        let first = limit.on(self.inner.call(request));
        join(first, ready(kept)).then(after_first)
    }
}

impl<S, C, R> Retried<S, C, R> {
    /// Prepares the first attempt: what is kept for others, and when it must have ended.
    #[inline]
    fn keep<Req>(&self, request: &mut Req) -> (Option<Kept<S, Req, C, R>>, Limit)
    where
        S: Clone,
        Req: Call,
        R: Replay<Req>,
    {
        let Setup { state, rules } = &*self.setup;
        let context = request.context();
        if is_repeated(context) {
            return (None, Limit::NONE);
        }
        let deadline = context.deadline();
        let idempotent = context.method().is_some_and(Method::is_idempotent);
        let started = request.started();
        state.live.count(started);
        let may_repeat = state.may_repeat();
        let kept = (may_repeat || rules.callback.is_some()).then(|| {
            let wanted = may_repeat && !state.live.purse.is_empty(started);
            let request = if wanted { rules.replay.replay(request) } else { None };
            let (setup, service) = (self.setup.clone(), self.inner.clone());
            Kept { request, service, setup, idempotent, deadline }
        });
        let limit = match state.attempt_timeout() {
            None => Limit::new(deadline, None, started),
            // An attempt has its time from now on, and not from when the call came.
            own => Limit::new(deadline, own, Instant::now()),
        };
        limit.tell(request);
        (kept, limit)
    }
}

/// What further attempts need.
pub struct Kept<S, Req, C, R> {
    /// `None` if there was nothing left in the purse, or the request can't be sent again.
    request: Option<Req>,
    service: S,
    setup: Arc<Setup<C, R>>,
    idempotent: bool,
    deadline: Option<Instant>,
}

fn after_first<S, Req, C, R>((outcome, kept): Begun<S, Req, C, R>) -> After<S, Req>
where
    S: Service<Req, Response: Send, Error: Failure, Future: Send> + Send + 'static,
    C: Classify<S::Response, S::Error>,
    Req: Call + Send + 'static,
    R: Replay<Req>,
{
    let Some(kept) = kept else { return Either::Left(ready(outcome)) };
    match Advice::of(&kept.setup.rules.classify, &outcome) {
        None => Either::Left(ready(outcome)),
        Some(advice) => Either::Right(kept.go_on(outcome, advice).boxed()),
    }
}

/// How a call goes on after a failed attempt.
enum Next<Req> {
    Attempt { request: Req, wait: Duration, grant: Grant },
    End { instead: Option<Error> },
}

impl<S, Req, C, R> Kept<S, Req, C, R>
where
    Req: Call,
    R: Replay<Req>,
{
    /// Makes further attempts after one that failed, until there is an outcome to return.
    async fn go_on(mut self, failed: Outcome<S, Req>, advice: Advice) -> Outcome<S, Req>
    where
        S: Service<Req, Error: Failure>,
        C: Classify<S::Response, S::Error>,
    {
        let config = self.setup.state.live.config();
        let (mut outcome, mut advice) = (failed, advice);
        let (mut course, mut earlier) = (Course::first(), Vec::new());
        loop {
            match self.next(&config, &mut course, &outcome, advice) {
                Next::End { instead: None } => return Attempts::keep(outcome, earlier),
                Next::End { instead: Some(instead) } => {
                    earlier.push(as_error(outcome, advice));
                    return Attempts::keep(Err(instead.into()), earlier);
                }
                Next::Attempt { request, wait, grant } => {
                    earlier.push(as_error(outcome, advice));
                    if !wait.is_zero() {
                        // Dropped meanwhile, the call gives its grant back.
                        sleep(wait).await;
                    }
                    grant.spend();
                    self.setup.state.live.repeats.fetch_add(1, Relaxed);
                    outcome = self.attempt(&config, request).await;
                }
            }
            match Advice::of(&self.setup.rules.classify, &outcome) {
                None => return outcome,
                Some(failed) => advice = failed,
            }
        }
    }

    /// Decides after a failed attempt.
    fn next<Res, Err: Failure>(
        &mut self,
        config: &Retry,
        course: &mut Course,
        outcome: &Result<Res, Err>,
        advice: Advice,
    ) -> Next<Req> {
        let asked = self.setup.rules.callback.as_ref().map(|callback| {
            match outcome.as_ref().err().and_then(Failure::error) {
                Some(error) => callback(course.made, error),
                None => callback(course.made, &Error::of(advice.code)),
            }
        });
        let (go_on, instead) = asked.unwrap_or((true, None));
        if !go_on {
            return Next::End { instead };
        }
        let now = Instant::now();
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(now));
        let wait = course.next(config, advice, self.idempotent, left, fastrand::f64());
        let Some(wait) = wait else { return Next::End { instead } };
        let live = &self.setup.state.live;
        let Some(grant) = live.purse.withdraw(now) else {
            live.refused.fetch_add(1, Relaxed);
            return Next::End { instead };
        };
        let request = if course.made == config.attempts {
            self.request.take()
        } else {
            self.request.as_ref().and_then(|request| self.setup.rules.replay.replay(request))
        };
        let Some(mut request) = request else { return Next::End { instead } };
        change(&mut request, |context| context.with_attempt(course.made - 1));
        Next::Attempt { request, wait, grant }
    }

    /// Makes one further attempt.
    async fn attempt(&mut self, config: &Retry, mut request: Req) -> Outcome<S, Req>
    where
        S: Service<Req, Error: Failure>,
    {
        let limit = Limit::new(self.deadline, config.attempt_timeout, Instant::now());
        limit.tell(&mut request);
        limit.on(send(&mut self.service, request)).await
    }
}

/// The failure of an earlier attempt, as it is remembered.
pub(crate) fn as_error<Res, Err: Failure>(outcome: Result<Res, Err>, advice: Advice) -> Error {
    outcome.map_or_else(Into::into, |_| Error::of(advice.code))
}

/// Attempts in all: no more than five, gRPC's own limit.
pub(crate) fn check_attempts(attempts: u32, fewest: u32) -> Result<(), Invalid> {
    if (fewest..=5).contains(&attempts) {
        return Ok(());
    }
    let why = if fewest == 1 { "must be 1 to 5" } else { "must be 2 to 5" };
    Err(Invalid { field: "attempts", why })
}
