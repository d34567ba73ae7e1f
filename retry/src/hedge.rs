use crate::{
    Budget, Cloned, Failure, HedgeHandle, Purse, Replay,
    handle::{HedgeState, Live},
    latencies::Latencies,
    limit::{is_repeated, mark, note_picks},
    race::Race,
    retry::check_attempts,
};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Either},
};
use purlin_endpoint::{ByCode, Call, Classify, Invalid, Layer, Method, Service};
use std::{
    fmt,
    sync::Arc,
    task::{Context as Task, Poll},
    time::Duration,
};

/// When a second attempt is made beside one that takes long.
///
/// Only calls of [idempotent](Method::idempotent) methods are hedged. The first answer that is a
/// success or can't be helped by another attempt is the call's, and the other attempts are dropped;
/// a failure that may be helped starts the next attempt at once, or after the delay it asks for.
///
/// ```
/// use purlin_endpoint::{Context, Endpoint as _, Error, Method, MethodLayer, endpoint_fn};
/// use purlin_retry::Hedge;
/// use std::time::Duration;
/// use tower::ServiceBuilder;
///
/// static FIND: Method = Method::unary("library.Library", "Find").idempotent();
///
/// # let mut runtime = tokio::runtime::Builder::new_current_thread();
/// # runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
/// let hedge = Hedge::after(Duration::from_millis(50)).layer()?;
/// let find = ServiceBuilder::new().layer(MethodLayer::new(&FIND)).layer(hedge).service(
///     endpoint_fn(|context: Context, ()| async move {
///         if context.attempt() == 0 {
///             tokio::time::sleep(Duration::from_secs(5)).await;
///         }
///         Ok::<_, Error>(context.attempt())
///     }),
/// );
/// assert_eq!(find.invoke(Context::default(), ()).await.unwrap(), 1);
/// # Ok::<_, purlin_endpoint::Invalid>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Hedge {
    #[cfg_attr(feature = "serde", serde(default = "two"))]
    pub(crate) attempts: u32,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) percentile: Option<f64>,
    #[cfg_attr(feature = "serde", serde(default, with = "purlin_endpoint::duration::option"))]
    pub(crate) delay: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) budget: Budget,
}

#[cfg(feature = "serde")]
fn two() -> u32 {
    2
}

/// Two attempts, the second when a call takes longer than 95 of 100 do: the choice of Dean and
/// Barroso, [The Tail at Scale](https://research.google/pubs/the-tail-at-scale/).
impl Default for Hedge {
    fn default() -> Self {
        Self::percentile(0.95)
    }
}

impl Hedge {
    /// Hedges a call that takes longer than this.
    pub fn after(delay: Duration) -> Self {
        Self { attempts: 2, percentile: None, delay: Some(delay), budget: Budget::default() }
    }

    /// Hedges a call that takes longer than this share of recent ones did: more than 0, less than 1.
    ///
    /// Recent are the last one or two thousand, older ones counting less. Before a hundred were seen
    /// nothing is hedged, unless a [delay](Self::delay) is given for that time.
    pub fn percentile(percentile: f64) -> Self {
        Self { attempts: 2, percentile: Some(percentile), delay: None, budget: Budget::default() }
    }

    /// Hedges after this delay until the percentile is known.
    #[must_use]
    pub const fn delay(self, delay: Duration) -> Self {
        Self { delay: Some(delay), ..self }
    }

    /// Makes up to this many attempts in all: 2 to 5. Each further one waits the delay again.
    #[must_use]
    pub const fn attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// Makes no more further attempts than this allows.
    #[must_use]
    pub const fn budget(self, budget: Budget) -> Self {
        Self { budget, ..self }
    }

    /// Builds the layer, with a purse of its own.
    ///
    /// # Errors
    ///
    /// If the attempts are not 2 to 5, the percentile is not between 0 and 1, there is neither a
    /// percentile nor a delay, or the budget is no good.
    pub fn layer(self) -> Result<HedgeLayer, Invalid> {
        self.build(self.budget.purse()?, false)
    }

    /// Builds a layer that shares this purse, and has no budget of its own.
    ///
    /// # Errors
    ///
    /// As for [`layer`](Self::layer).
    pub fn layer_on(self, purse: &Purse) -> Result<HedgeLayer, Invalid> {
        self.build(purse.clone(), true)
    }

    fn build(self, purse: Purse, shares: bool) -> Result<HedgeLayer, Invalid> {
        self.check()?;
        let latencies = Latencies::new(self.percentile, self.delay);
        let state = HedgeState { live: Live::new(self, purse, shares), latencies };
        Ok(HedgeLayer { state: Arc::new(state), classify: ByCode, replay: Cloned })
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        check_attempts(self.attempts, 2)?;
        match self.percentile {
            None if self.delay.is_none() => {
                Err(Invalid { field: "delay", why: "must be given where no percentile is" })
            }
            Some(percentile) if !(percentile > 0.0 && percentile < 1.0) => {
                Err(Invalid { field: "percentile", why: "must be more than 0 and less than 1" })
            }
            _ => self.budget.check(),
        }
    }
}

/// Makes a second attempt beside one that takes long.
///
/// `C` says which responses count as failures, `R` how a request is sent again.
#[derive(Clone)]
pub struct HedgeLayer<C = ByCode, R = Cloned> {
    pub(crate) state: Arc<HedgeState>,
    pub(crate) classify: C,
    pub(crate) replay: R,
}

impl<C, R> HedgeLayer<C, R> {
    /// Counts as a failure that another attempt may help also what this says is `UNAVAILABLE`.
    pub fn classify<D>(self, classify: D) -> HedgeLayer<D, R> {
        HedgeLayer { state: self.state, classify, replay: self.replay }
    }

    /// Makes further requests with this function instead of a clone.
    pub fn replay<Q>(self, replay: Q) -> HedgeLayer<C, Q> {
        HedgeLayer { state: self.state, classify: self.classify, replay }
    }

    /// Reads the layer's state, and changes its configuration.
    pub fn handle(&self) -> HedgeHandle {
        HedgeHandle(self.state.clone())
    }
}

impl<C, R> fmt::Debug for HedgeLayer<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HedgeLayer").field(&self.state.live.config()).finish()
    }
}

impl<C: Clone, R: Clone, S> Layer<S> for HedgeLayer<C, R> {
    type Service = Hedged<S, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Hedged { hedge: self.clone(), inner }
    }
}

/// A service whose calls are hedged.
#[derive(Clone)]
pub struct Hedged<S, C = ByCode, R = Cloned> {
    hedge: HedgeLayer<C, R>,
    inner: S,
}

impl<S: fmt::Debug, C, R> fmt::Debug for Hedged<S, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedged").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, C, R, Req> Service<Req> for Hedged<S, C, R>
where
    S: Service<Req, Response: Send, Error: Failure, Future: Send> + Clone + Send + 'static,
    C: Classify<S::Response, S::Error> + Clone,
    Req: Call + Send + 'static,
    R: Replay<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    // A call that is hedged needs a timer at least, so one allocation more matters little.
    type Future = Either<S::Future, BoxFuture<'static, Result<S::Response, S::Error>>>;

    #[inline]
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        let context = request.context();
        if is_repeated(context) || !context.method().is_some_and(Method::is_idempotent) {
            return Either::Left(self.inner.call(request));
        }
        let deadline = context.deadline();
        let started = request.started();
        let HedgeLayer { state, replay, .. } = &self.hedge;
        let kept = if state.live.purse.admit(started) {
            note_picks(&mut request);
            replay.replay(&request)
        } else {
            None
        };
        let (service, hedge) = (self.inner.clone(), self.hedge.clone());
        let race = Race { request: kept, service, hedge, started, deadline, made: 1 };
        mark(&mut request);
        request.context().notes().attempted();
        Either::Right(race.run(self.inner.call(request)).boxed())
    }
}
