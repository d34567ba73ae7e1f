use crate::{
    Buckets, Handle,
    cell::Seen,
    labels::UserLabels,
    semconv::{self, OTHER},
    sink::{Active, Histogram, Names, Pairs, Sink},
    table::Table,
};
use metrics::Recorder;
use purlin_endpoint::{
    ByCode, Call, Classify, Code, Context, End, Guard, Intercept, InterceptLayer, Intercepted,
    Layer, Method, Observes, SpanId, TraceId, Verdict,
};
use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};
use tokio::time::Instant;

/// Measures calls: how many there are, how they end, how long they take, how many are in flight.
///
/// It records two metrics, by the names of OpenTelemetry's [conventions](crate::semconv):
///
/// - `rpc.server.call.duration`, a histogram in seconds, with the labels `rpc.method`,
///   `rpc.system.name`, `rpc.response.status_code`, and `error.type` if the call failed. How many
///   values it has is the rate, and with that last label the rate of errors.
/// - `rpc.server.active_requests`, with the first two labels.
///
/// Around a client they are `rpc.client.…`: see [`client`](Self::client). A call ends when its
/// stream does. One that was given up is `CANCELLED`, or `DEADLINE_EXCEEDED` if its deadline had
/// passed. A call whose context names no method is `_OTHER`, and so is every method after the 256th.
///
/// Where the call is part of a trace that is sampled, as its context says when it comes to this
/// layer, a [`Registry`](crate::Registry) keeps it as an exemplar of its bucket.
#[derive(Clone)]
pub struct MetricsLayer<C = ByCode> {
    options: Options,
    classify: Arc<C>,
    inner: InterceptLayer<Calls<C>, Observes>,
}

#[derive(Clone)]
struct Options {
    sink: Sink,
    names: Names,
    client: bool,
    system: &'static str,
    buckets: Buckets,
    labels: UserLabels,
}

const SERVER: Names = Names {
    duration: semconv::RPC_SERVER_CALL_DURATION,
    active: semconv::RPC_SERVER_ACTIVE_REQUESTS,
    about_duration: "Measures the duration of an incoming Remote Procedure Call (RPC).",
    about_active: "Number of calls that a server works on.",
};

const CLIENT: Names = Names {
    duration: semconv::RPC_CLIENT_CALL_DURATION,
    active: semconv::RPC_CLIENT_ACTIVE_REQUESTS,
    about_duration: "Measures the duration of an outgoing Remote Procedure Call (RPC).",
    about_active: "Number of calls that a client waits for.",
};

impl MetricsLayer {
    /// Measures the calls that a server gets, and records them here.
    ///
    /// The recorder is a [`Registry`](crate::Registry), or any other: then it is given its handles
    /// once for each series, and a copy of the numbers is kept for the layer's [`Handle`].
    pub fn new<R: Recorder + Send + Sync + 'static>(recorder: R) -> Self {
        Self::to(Sink::new(recorder))
    }

    /// Records into the recorder that the process has installed by the time a series first counts.
    pub fn global() -> Self {
        Self::to(Sink::global())
    }

    fn to(sink: Sink) -> Self {
        let options = Options {
            sink,
            names: SERVER,
            client: false,
            system: "purlin",
            buckets: Buckets::default(),
            labels: UserLabels::default(),
        };
        Self::of(options, Arc::new(ByCode))
    }
}

impl<C> MetricsLayer<C> {
    fn of(options: Options, classify: Arc<C>) -> Self {
        let shared = Arc::new(Shared { options: options.clone(), classify: classify.clone() });
        let inner = InterceptLayer::observer(Calls {
            shared,
            methods: Table::new(METHODS),
            rest: OnceLock::new(),
            labelled: RwLock::default(),
        });
        Self { options, classify, inner }
    }

    /// Measures the calls that a client makes: each of them, or each attempt, by where the layer
    /// stands. Every code but `OK` is an error then.
    #[must_use]
    pub fn client(mut self) -> Self {
        (self.options.client, self.options.names) = (true, CLIENT);
        Self::of(self.options, self.classify)
    }

    /// Says by which RPC system calls come, as in `grpc` or `jsonrpc`. Default: `purlin`.
    #[must_use]
    pub fn system(mut self, name: &'static str) -> Self {
        self.options.system = name;
        Self::of(self.options, self.classify)
    }

    /// Counts durations in these buckets, whose bounds are in seconds. Another recorder than a
    /// [`Registry`](crate::Registry) has buckets of its own.
    #[must_use]
    pub fn buckets(mut self, buckets: Buckets) -> Self {
        self.options.buckets = buckets;
        Self::of(self.options, self.classify)
    }

    /// Adds a label to both metrics, which at most so many values are told apart by: all others
    /// are `_OTHER`, as is one of more than 128 bytes or with a control character in it.
    ///
    /// Values that a caller can choose freely fill up the places of others: take what has been
    /// verified, as the tenant of a token.
    #[must_use]
    pub fn label<F>(mut self, name: impl Into<String>, limit: usize, value: F) -> Self
    where
        F: Fn(&Context) -> Option<&str> + Send + Sync + 'static,
    {
        self.options.labels.push(name.into(), limit, value);
        Self::of(self.options, self.classify)
    }

    /// Judges outcomes by this instead of the code of a [`purlin_endpoint::Error`].
    #[must_use]
    pub fn classify<D>(self, classify: D) -> MetricsLayer<D> {
        MetricsLayer::of(self.options, Arc::new(classify))
    }

    /// Reads what has been measured.
    pub fn handle(&self) -> Handle {
        let names = self.options.names;
        Handle::new(self.options.sink.registry.clone(), names, self.options.buckets.clone())
    }
}

impl<C, S> Layer<S> for MetricsLayer<C> {
    type Service = Intercepted<Calls<C>, Observes, S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.inner.layer(inner)
    }
}

impl<C> fmt::Debug for MetricsLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsLayer").field("metric", &self.options.names.duration).finish()
    }
}

/// What all calls of a [`MetricsLayer`] share.
pub struct Calls<C> {
    shared: Arc<Shared<C>>,
    /// By the address of the method.
    methods: Table<Arc<Series<C>>>,
    /// Of methods for which there is no room.
    rest: OnceLock<Arc<Series<C>>>,
    /// By the address of the method and the number of the user's labels, if there are any.
    labelled: RwLock<Labelled<C>>,
}

type Labelled<C> = HashMap<(usize, u128), Arc<Series<C>>>;

struct Shared<C> {
    options: Options,
    classify: Arc<C>,
}

/// The handles of one method, bound once.
struct Series<C> {
    shared: Arc<Shared<C>>,
    pairs: Pairs,
    active: Active,
    /// By code, and whether it is a failure.
    outcomes: Table<Histogram>,
}

/// More than a process is likely to have, and few enough to keep for ever.
const METHODS: usize = 256;
/// As many series as a metric has by default.
const LABELLED: usize = 2000;
/// Twice the number of codes, and some room to find each at once.
const OUTCOMES: usize = 64;

impl<C> Calls<C> {
    #[inline]
    fn series(&self, context: &Context) -> Arc<Series<C>> {
        let method = context.method();
        let key = method.map_or(0, |method| std::ptr::from_ref(method).addr());
        if !self.shared.options.labels.is_empty() {
            return self.labelled(key, method, context);
        }
        match self.methods.get(key, || self.make(method, Pairs::new())) {
            Some(series) => series.clone(),
            None => self.rest.get_or_init(|| self.make(None, Pairs::new())).clone(),
        }
    }

    #[cold]
    fn make(&self, method: Option<&Method>, mut pairs: Pairs) -> Arc<Series<C>> {
        let options = &self.shared.options;
        let name = method.map_or_else(|| OTHER.to_owned(), Method::to_string);
        pairs.push((semconv::RPC_METHOD.to_owned(), name));
        pairs.push((semconv::RPC_SYSTEM_NAME.to_owned(), options.system.to_owned()));
        Arc::new(Series {
            active: options.sink.active(&options.names, &pairs, "{request}"),
            outcomes: Table::new(OUTCOMES),
            shared: self.shared.clone(),
            pairs,
        })
    }

    fn labelled(&self, key: usize, method: Option<&Method>, context: &Context) -> Arc<Series<C>> {
        let labels = &self.shared.options.labels;
        let key = (key, labels.number(context));
        let known = self.labelled.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known.get(&key) {
            return series.clone();
        }
        drop(known);
        let mut known = self.labelled.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= LABELLED && !known.contains_key(&key) {
            return self.rest.get_or_init(|| self.make(None, Pairs::new())).clone();
        }
        known.entry(key).or_insert_with(|| self.make(method, labels.pairs(context))).clone()
    }
}

impl<C> Series<C> {
    #[inline]
    fn outcome(&self, verdict: Verdict) -> Option<&Histogram> {
        let failed = verdict.failed || self.shared.options.client && verdict.code != Code::Ok;
        let key = usize::from(verdict.code.number()) * 2 + usize::from(failed);
        self.outcomes.get(key, || self.bind(verdict.code, failed))
    }

    #[cold]
    fn bind(&self, code: Code, failed: bool) -> Histogram {
        let options = &self.shared.options;
        let mut pairs = self.pairs.clone();
        pairs.push((semconv::RPC_RESPONSE_STATUS_CODE.to_owned(), code.to_string()));
        if failed {
            // What failed with `Ok` was judged by something that the code doesn't say.
            let error = if code == Code::Ok { OTHER } else { code.as_str() };
            pairs.push((semconv::ERROR_TYPE.to_owned(), error.to_owned()));
        }
        options.sink.durations(&options.names, &pairs, &options.buckets)
    }
}

impl<Req: Call, C> Intercept<Req> for Calls<C> {
    type Guard = Measuring<C>;
    type Refusal = Infallible;

    #[inline]
    fn before(self: &Arc<Self>, request: &mut Req) -> Result<Self::Guard, Infallible> {
        let context = request.context();
        let series = self.series(context);
        series.active.begin();
        let trace = context.trace().filter(|trace| trace.is_sampled());
        let trace = trace.map(|trace| Box::new((trace.trace_id(), trace.span_id())));
        let deadline = context.deadline();
        let started = request.started();
        Ok(Measuring { series, started, deadline, trace, answered: Verdict::OK })
    }

    fn name(&self) -> &'static str {
        "metrics"
    }
}

/// A call that has not ended yet.
pub struct Measuring<C> {
    series: Arc<Series<C>>,
    started: Instant,
    deadline: Option<Instant>,
    /// In a box, since few calls have it and every guard is moved about.
    trace: Option<Box<(TraceId, SpanId)>>,
    answered: Verdict,
}

impl<C, Res, Err> Guard<Res, Err> for Measuring<C>
where
    C: Classify<Res, Err>,
{
    #[inline]
    fn response(&mut self, outcome: &mut Result<Res, Err>) {
        self.answered = self.series.shared.classify.classify(outcome);
    }

    #[inline]
    fn end(self, end: End<'_>) {
        let took = end.took(self.started);
        let verdict = end.verdict(self.answered, self.started, self.deadline);
        self.series.active.end();
        let seen = self.trace.as_deref().map(|&(trace, span)| Seen {
            trace,
            span,
            value: took.as_secs_f64(),
            at: end.at(self.started),
        });
        if let Some(histogram) = self.series.outcome(verdict) {
            histogram.record(took, seen);
        }
    }
}

impl<C> fmt::Debug for Calls<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Measuring<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Measuring").finish_non_exhaustive()
    }
}
