//! The layers around each method, with a reason for each. The first is the outermost.

use greeter_full::{
    access::{Verifier, rules},
    telemetry::Telemetry,
};
use purlin::{
    Backoff, Endpoint, Error, Inspect, Method, MethodLayer,
    admin::{FaultsLayer, Watch, WatchLayer},
    auth::{AuthLayer, Authenticate as _, rbac::RbacLayer},
    circuitbreaker::{CircuitBreaker, CircuitBreakerLayer},
    concurrency::{AdaptiveLimit, ConcurrencyLayer, ConcurrencyLimit},
    log::LogLayer,
    metrics::MetricsLayer,
    ratelimit::{RateLimit, RateLimitLayer},
    retry::{Retry, RetryLayer},
    timeout::{Timeout, TimeoutLayer},
    tracing::TracingLayer,
};
use std::{error, path::Path, sync::Arc, time::Duration};
use tower::ServiceBuilder;

/// What a user may change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'a> {
    /// How many calls one address may make in a second.
    pub(crate) rate: f64,
    /// The longest that a call may take.
    pub(crate) timeout: Duration,
    /// The longest that one attempt at calling the greeter may take.
    pub(crate) attempt_timeout: Duration,
    /// How long a breaker that has opened leaves the greeter in peace.
    pub(crate) open_for: Duration,
    /// The file with the rules, if there are any.
    pub(crate) policy: Option<&'a Path>,
}

/// One layer of each kind: all methods share them.
#[derive(Clone)]
pub(crate) struct Layers {
    pub(crate) watch: WatchLayer,
    pub(crate) faults: FaultsLayer,
    incoming: TracingLayer,
    lines: LogLayer,
    metrics: MetricsLayer,
    rate: RateLimitLayer,
    auth: AuthLayer<Verifier>,
    pub(crate) rules: RbacLayer,
    room: ConcurrencyLayer,
    timeout: TimeoutLayer,
    outgoing: TracingLayer,
    asked: MetricsLayer,
    breaker: CircuitBreakerLayer,
    retry: RetryLayer,
    attempt: TimeoutLayer,
}

impl Layers {
    /// Makes the layers.
    ///
    /// # Errors
    ///
    /// If a setting makes no sense.
    pub(crate) fn new(
        telemetry: &Telemetry,
        verifier: Verifier,
        settings: Settings<'_>,
    ) -> Result<Self, Box<dyn error::Error>> {
        let by_address = RateLimit::per_second(settings.rate)
            // A page that loads makes several calls at once.
            .burst((settings.rate * 2.0).ceil().max(1.0) as u32)
            .by(|context| Some(context.peer()?.address()?.ip().into()));
        Ok(Self {
            watch: Watch::new().layer()?,
            faults: FaultsLayer::new(),
            incoming: TracingLayer::server(&telemetry.tracer),
            lines: telemetry.lines.clone(),
            metrics: telemetry.metrics.clone(),
            rate: by_address.layer()?,
            auth: verifier.layer(),
            rules: rules(settings.policy)?,
            room: ConcurrencyLimit::new(AdaptiveLimit::gradient()).layer()?,
            timeout: Timeout::new(settings.timeout).layer()?,
            outgoing: TracingLayer::client(&telemetry.tracer),
            asked: MetricsLayer::new(telemetry.registry.clone()).client(),
            breaker: CircuitBreaker::new()
                // Half of the last calls failed: it is not worth asking.
                .failure_rate(0.5)
                // A few failures at night are not half of anything.
                .minimum_calls(5)
                // Three good answers, and all may come back.
                .half_open_calls(3)
                .open_for(Backoff::new(settings.open_for).jitter(0.0))
                .layer()?,
            retry: Retry::attempts(3).layer()?,
            attempt: Timeout::new(settings.attempt_timeout).layer()?,
        })
    }

    /// What stands around a call that comes in.
    pub(crate) fn protected<Req, S>(
        &self,
        method: &'static Method,
        inner: S,
    ) -> impl Endpoint<Req, Response = S::Response, Error = Error> + use<Req, S>
    where
        Req: Send + 'static,
        S: Endpoint<Req, Error = Error>,
    {
        ServiceBuilder::new()
            // Those further in know what is called, and when its stream ends.
            .layer(MethodLayer::new(method))
            // The page shows the last calls, with all that stands further in.
            .layer(self.watch.clone())
            // Lines and exemplars further in show the trace.
            .layer(self.incoming.clone())
            // One line for each call, refused ones too.
            .layer(self.lines.clone())
            // How many there are, how they end and how long they take.
            .layer(self.metrics.clone())
            // Who calls too often is told when to come back, before it costs more than a look.
            .layer(self.rate.clone())
            // Who calls …
            .layer(self.auth.clone())
            // … and may they: from here on nobody has to ask.
            .layer(self.rules.clone())
            // More calls than there is room for would make all of them slow.
            .layer(self.room.clone())
            // No call takes longer than this, whatever the caller says; those further in see it.
            .layer(self.timeout.clone())
            .service(inner)
    }

    /// What stands around a call that goes out to the greeter.
    pub(crate) fn reaching<Req, S>(
        &self,
        method: &'static Method,
        inner: S,
    ) -> impl Endpoint<Req, Response = S::Response, Error = Error> + use<Req, S>
    where
        Req: Clone + Send + Sync + 'static,
        S: Endpoint<Req, Error = Error>,
    {
        ServiceBuilder::new()
            .layer(MethodLayer::new(method))
            // One span for all attempts together.
            .layer(self.outgoing.clone())
            .layer(self.asked.clone())
            // A greeter that keeps failing is left in peace. It is outside of the retries: a call
            // has one vote, and a refusal is not repeated.
            .layer(self.breaker.clone())
            // What may be repeated is, within a budget, so that a bad moment is not seen.
            .layer(self.retry.clone())
            // One span for each attempt, with its number: this is the one that the greeter sees.
            .layer(self.outgoing.clone())
            // An attempt that hangs leaves time for another.
            .layer(self.attempt.clone())
            // What the page injects seems to come from the greeter.
            .layer(self.faults.clone())
            .service(inner)
    }

    /// What the page shows of a method, the outermost first.
    pub(crate) fn inspected(&self) -> [Arc<dyn Inspect>; 11] {
        [
            Arc::new(self.metrics.handle()),
            Arc::new(self.rate.handle()),
            Arc::new(self.auth.handle()),
            Arc::new(self.rules.handle()),
            Arc::new(self.room.handle()),
            Arc::new(self.timeout.handle()),
            Arc::new(self.asked.handle()),
            Arc::new(self.breaker.handle()),
            Arc::new(self.retry.handle()),
            Arc::new(self.attempt.handle()),
            Arc::new(self.faults.handle()),
        ]
    }
}
