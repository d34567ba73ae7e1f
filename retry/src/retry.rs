use crate::{
    Budget, Cloned, Failure, Purse, Replay, RetryHandle,
    attempt::{Attempt, Attempting, Plan, Repeating},
    handle::{Live, RetryState},
    limit::{is_repeated, note_picks},
};
use purlin_endpoint::{Backoff, ByCode, Call, Classify, Error, Invalid, Layer, Method, Service};
use std::{
    any::TypeId,
    fmt,
    sync::Arc,
    task::{Context as Task, Poll},
    time::Duration,
};
use tower::retry::future::ResponseFuture;

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
pub(crate) struct Rules<C, R> {
    pub(crate) classify: C,
    pub(crate) replay: R,
    pub(crate) callback: Option<Callback>,
}

/// From the number of the attempt and its failure to whether to go on, and with which error to end.
pub(crate) type Callback = Arc<dyn Fn(u32, &Error) -> (bool, Option<Error>) + Send + Sync>;

impl<C, R> RetryLayer<C, R> {
    /// Repeats also what this says is `UNAVAILABLE`: responses, such as an HTTP 503, and errors with
    /// other codes; and responses that ask for a [delay](Classify::delay).
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
        let (state, rules) = (self.state.clone(), self.rules.clone());
        let setup = Arc::new(Setup { state, rules });
        // tower's retry is the future that joins the attempts; all that is decided is ours.
        let retry = tower::retry::Retry::new(Repeating::new(setup.clone()), Attempting(inner));
        Retried { setup, retry }
    }
}

/// A service whose calls are repeated if they fail.
pub struct Retried<S, C = ByCode, R = Cloned> {
    setup: Arc<Setup<C, R>>,
    retry: tower::retry::Retry<Repeating<C, R>, Attempting<S>>,
}

impl<S: Clone, C, R> Clone for Retried<S, C, R> {
    fn clone(&self) -> Self {
        Self { setup: self.setup.clone(), retry: self.retry.clone() }
    }
}

impl<S: fmt::Debug, C, R> fmt::Debug for Retried<S, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retried").field("inner", &self.retry.get_ref().0).finish_non_exhaustive()
    }
}

/// What the services of a layer share.
pub(crate) struct Setup<C, R> {
    pub(crate) state: Arc<RetryState>,
    pub(crate) rules: Rules<C, R>,
}

impl<C: 'static, R> Setup<C, R> {
    /// What is known of a call when it comes.
    #[inline]
    fn begin(&self, request: &mut impl Call) -> Plan {
        let context = request.context();
        if is_repeated(context) {
            return Plan::default();
        }
        let deadline = context.deadline();
        let idempotent = context.method().is_some_and(Method::is_idempotent);
        let attempt_timeout = self.state.attempt_timeout();
        let goes_on = self.state.attempts() > 1 || self.rules.callback.is_some();
        let affordable = self.state.live.purse.admit(request.started());
        // An attempt that fails says where it went, and one that is cut off can't. By its code only
        // one is repeated that is cut off here; another classifier may see more.
        let by_code = TypeId::of::<C>() == TypeId::of::<ByCode>();
        if goes_on && affordable && (attempt_timeout.is_some() || !by_code) {
            note_picks(request);
        }
        Plan { deadline, attempt_timeout, idempotent, goes_on, affordable }
    }
}

impl<S, C, R, Req: Call> Service<Req> for Retried<S, C, R>
where
    S: Service<Req, Error: Failure> + Clone,
    C: Classify<S::Response, S::Error>,
    R: Replay<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<Repeating<C, R>, Attempting<S>, Attempt<Req>>;

    #[inline]
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        self.retry.get_mut().0.poll_ready(task)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let plan = self.setup.begin(&mut request);
        self.retry.call(Attempt::first(request, plan))
    }
}

/// Attempts in all: no more than five, gRPC's own limit.
pub(crate) fn check_attempts(attempts: u32, fewest: u32) -> Result<(), Invalid> {
    if (fewest..=5).contains(&attempts) {
        return Ok(());
    }
    let why = if fewest == 1 { "must be 1 to 5" } else { "must be 2 to 5" };
    Err(Invalid { field: "attempts", why })
}
