//! The adaptive form: no states, only a share of calls that is refused.

mod counts;

use counts::{ACCEPTED, Counts, Seen, TAKEN_BACK};
use purlin_endpoint::{
    AsError, AsResponse, ByCode, Call, Classify, Code, End, Error, Guard, How, Inspect, Intercept,
    InterceptLayer, Intercepted, Invalid, Layer,
};
use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time::Instant;

/// How many more calls are made than are accepted.
///
/// A call is refused with the probability max(0, (requests − floor − K × accepts) / (requests + 1)),
/// where requests and accepts are those of a window of time. This is the client-side throttling of
/// Google's [Site Reliability Engineering](https://sre.google/sre-book/handling-overload/), chapter
/// 21, and so are the defaults of K = 2 and two minutes. The floor is ours, as without it the second
/// of two calls that a new client makes at once would be refused every other time.
///
/// A request is counted as it is made and not as it ends, so that those who hang are seen as well;
/// one that is refused here is counted too. Accepted is what was answered, be it that the caller is
/// mistaken, but neither a failure nor `RESOURCE_EXHAUSTED`. A stream is accepted with its head. A
/// call that is dropped before its answer is taken back.
///
/// ```
/// use purlin_circuitbreaker::Throttle;
/// use purlin_endpoint::{Context, Endpoint as _, Error, endpoint_fn};
/// use tower::ServiceBuilder;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), purlin_endpoint::Invalid> {
/// let layer = Throttle::new().layer()?;
/// let handle = layer.handle();
/// let fails = ServiceBuilder::new().layer(layer).service(endpoint_fn(|_: Context, ()| async {
///     Err::<(), _>(Error::internal("down"))
/// }));
///
/// for _ in 0..1000 {
///     assert!(fails.invoke(Context::default(), ()).await.is_err());
/// }
/// assert!(handle.probability() > 0.8);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub struct Throttle {
    ratio: f64,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    time: Duration,
    floor: u32,
}

/// A bucket is a millisecond or longer.
const TIMES: [Duration; 2] = [Duration::from_millis(120), Duration::from_secs(24 * 3600)];

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

impl Throttle {
    /// Makes up to twice as many calls as are accepted within two minutes, and 100 at least.
    pub const fn new() -> Self {
        Self { ratio: 2.0, time: Duration::from_secs(120), floor: 100 }
    }

    /// Makes so many times as many calls as are accepted: 1 or more. It is the K of the formula.
    #[must_use]
    pub const fn ratio(self, ratio: f64) -> Self {
        Self { ratio, ..self }
    }

    /// Counts the calls of so long: 120 ms to a day, in 120 buckets.
    #[must_use]
    pub const fn time(self, time: Duration) -> Self {
        Self { time, ..self }
    }

    /// Refuses none while there are no more requests than this in the window.
    #[must_use]
    pub const fn floor(self, requests: u32) -> Self {
        Self { floor: requests, ..self }
    }

    /// Builds the layer.
    ///
    /// # Errors
    ///
    /// If the ratio is no number of at least 1, or the time is out of its range.
    pub fn layer(self) -> Result<ThrottleLayer, Invalid> {
        self.check()?;
        let counts = Arc::new(Counts::new(self, Instant::now()));
        Ok(ThrottleLayer(InterceptLayer::new(Throttles { counts, classify: ByCode })))
    }

    fn check(&self) -> Result<(), Invalid> {
        if !(self.ratio.is_finite() && self.ratio >= 1.0) {
            return Err(Invalid { field: "ratio", why: "must be a number of at least 1" });
        }
        if !(TIMES[0]..=TIMES[1]).contains(&self.time) {
            return Err(Invalid { field: "time", why: "must be from 120 ms to a day" });
        }
        Ok(())
    }

    /// With what probability a call is refused that comes after these.
    fn probability(&self, seen: Seen) -> f64 {
        // Calls that were taken back may have left the window later than those that were made.
        let [requests, accepts] = [seen.requests, seen.accepts].map(|n| n.max(0) as f64);
        let more = requests - f64::from(self.floor) - self.ratio * accepts;
        (more / (requests + 1.0)).max(0.0)
    }
}

/// Refuses a share of the calls to those who don't accept them.
///
/// Clones of a layer, and all that they wrap, share what they have counted: wrap what goes to one
/// service with one layer. `C` says what an outcome was, and `A` how a refusal becomes the outcome:
/// an error, or what [`respond`](Self::respond) makes.
#[derive(Clone, Debug)]
pub struct ThrottleLayer<C = ByCode, A = AsError>(InterceptLayer<Throttles<C>, A>);

impl<C> ThrottleLayer<C> {
    /// Judges outcomes by this instead of the code of a [`purlin_endpoint::Error`].
    pub fn classify<D>(self, classify: D) -> ThrottleLayer<D> {
        let counts = self.0.intercept().counts.clone();
        ThrottleLayer(InterceptLayer::new(Throttles { counts, classify }))
    }

    /// Answers a refused call with a response instead of an error.
    pub fn respond<F>(self, respond: F) -> ThrottleLayer<C, AsResponse<F>> {
        ThrottleLayer(self.0.respond(respond))
    }
}

impl<C, A> ThrottleLayer<C, A> {
    /// Reads and changes what this layer and its clones do.
    pub fn handle(&self) -> ThrottleHandle {
        ThrottleHandle(self.0.intercept().counts.clone())
    }
}

impl<C, A: Clone, S> Layer<S> for ThrottleLayer<C, A> {
    type Service = Intercepted<Throttles<C>, A, S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(inner)
    }
}

/// Reads and changes what a [`ThrottleLayer`] does while calls run.
#[derive(Clone, Debug)]
pub struct ThrottleHandle(Arc<Counts>);

impl ThrottleHandle {
    /// With what probability the next call is refused.
    pub fn probability(&self) -> f64 {
        self.0.probability(Instant::now())
    }

    /// How many calls have been refused.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }

    /// Takes other settings. What was counted is kept unless the time is another.
    ///
    /// # Errors
    ///
    /// As for [`Throttle::layer`]; then nothing is changed.
    pub fn update(&self, config: Throttle) -> Result<(), Invalid> {
        config.check()?;
        self.0.update(config, Instant::now());
        Ok(())
    }

    /// The settings.
    pub fn config(&self) -> Throttle {
        self.0.config()
    }
}

/// Shows its numbers, as of the last call, as one JSON object.
impl Inspect for ThrottleHandle {
    fn name(&self) -> String {
        "throttle".to_owned()
    }

    fn snapshot(&self) -> String {
        let [requests, accepts, refused] =
            [&self.0.requests, &self.0.accepts, &self.0.refused].map(|n| n.load(Relaxed));
        format!(r#"{{"requests":{requests},"accepts":{accepts},"refused":{refused}}}"#)
    }
}

/// The decision of a [`ThrottleLayer`].
#[derive(Debug)]
pub struct Throttles<C> {
    counts: Arc<Counts>,
    classify: C,
}

impl<Req: Call, C: Clone> Intercept<Req> for Throttles<C> {
    type Guard = Throttling<C>;
    type Refusal = Throttled;

    #[inline]
    fn before(self: &Arc<Self>, request: &mut Req) -> Result<Throttling<C>, Throttled> {
        let started = request.started();
        self.counts.admit(started, fastrand::f64())?;
        let (counts, classify) = (self.counts.clone(), self.classify.clone());
        Ok(Throttling { counts, started, classify, answered: false })
    }
}

/// A call that was made, and whose answer is waited for.
#[derive(Debug)]
pub struct Throttling<C> {
    counts: Arc<Counts>,
    started: Instant,
    classify: C,
    answered: bool,
}

impl<Res, Err, C: Classify<Res, Err>> Guard<Res, Err> for Throttling<C> {
    #[inline]
    fn response(&mut self, outcome: &mut Result<Res, Err>) {
        self.answered = true;
        let verdict = self.classify.classify(outcome);
        if !verdict.failed && verdict.code != Code::ResourceExhausted {
            self.counts.add(ACCEPTED, self.started);
        }
    }

    #[inline]
    fn end(self, end: End<'_>) {
        if !self.answered && matches!(end.how(), How::Dropped) {
            self.counts.add(TAKEN_BACK, self.started);
        }
    }
}

/// The call was not made: too few of those before it were accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled(());

impl fmt::Display for Throttled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too few of the last calls were accepted to make another")
    }
}

impl std::error::Error for Throttled {}

/// It is not to be tried again: that would count as one more request.
impl From<Throttled> for Error {
    fn from(throttled: Throttled) -> Self {
        Self::new(Code::Unavailable, throttled).retryable(false).unreached()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_names_its_field() {
        let field = |throttle: Throttle| throttle.layer().unwrap_err().field;
        assert_eq!(field(Throttle::new().ratio(0.9)), "ratio");
        assert_eq!(field(Throttle::new().ratio(f64::NAN)), "ratio");
        assert_eq!(field(Throttle::new().time(Duration::ZERO)), "time");
        assert_eq!(field(Throttle::new().time(Duration::MAX)), "time");
    }
}
