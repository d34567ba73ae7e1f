use crate::{
    Buckets,
    cell::Seen,
    semconv::{self, OTHER},
    sink::{Active, Histogram, Names, Pairs, Sink},
    table::Table,
};
use http::{Extensions, Request, Response};
use metrics::Recorder;
use purlin_endpoint::{
    Call as _, End, Guard, How, Intercept, InterceptLayer, Intercepted, Layer, Observes, SpanId,
    TraceId,
};
use std::{
    borrow::Cow,
    collections::HashMap,
    convert::Infallible,
    fmt,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};
use tokio::time::Instant;

/// Measures HTTP requests, around any service from `http::Request` to `http::Response`.
///
/// It records two metrics, by the names of OpenTelemetry's [conventions](crate::semconv):
///
/// - `http.server.request.duration`, a histogram in seconds, with the labels
///   `http.request.method`, `url.scheme`, `http.response.status_code`, `http.route` where that is
///   [known](Self::route), and `error.type` where there was no response (`error`, `cancelled` or
///   `panicked`) or it was a 5xx.
/// - `http.server.active_requests`, with the first two labels.
///
/// Around a client they are `http.client.…`, with `server.address` and `server.port` in both and no
/// route: see [`client`](Self::client). A method that no standard knows is `_OTHER`. Paths, agents
/// and headers are never looked at.
#[derive(Clone, Debug)]
pub struct HttpMetricsLayer(InterceptLayer<Requests, Observes>);

const SERVER: Names = Names {
    duration: semconv::HTTP_SERVER_REQUEST_DURATION,
    active: semconv::HTTP_SERVER_ACTIVE_REQUESTS,
    about_duration: "Duration of HTTP server requests.",
    about_active: "Number of active HTTP server requests.",
};

const CLIENT: Names = Names {
    duration: semconv::HTTP_CLIENT_REQUEST_DURATION,
    active: semconv::HTTP_CLIENT_ACTIVE_REQUESTS,
    about_duration: "Duration of HTTP client requests.",
    about_active: "Number of active HTTP client requests.",
};

/// Those of RFC 9110, PATCH and QUERY, as the conventions have it.
const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];

/// More templates than a server is likely to have, or servers than a client is likely to ask:
/// requests beyond them are counted together.
const ROUTES: usize = 256;
/// More statuses than a route is likely to answer with.
const OUTCOMES: usize = 64;

type Template = dyn Fn(&Extensions) -> Option<&str> + Send + Sync;

impl HttpMetricsLayer {
    /// Measures requests, and records them here: see [`MetricsLayer::new`](crate::MetricsLayer::new).
    pub fn new<R: Recorder + Send + Sync + 'static>(recorder: R) -> Self {
        let options = Options {
            sink: Sink::new(recorder),
            names: SERVER,
            scheme: "http",
            buckets: Buckets::default(),
            template: Arc::new(|_| None),
        };
        Self::of(options)
    }

    fn of(options: Options) -> Self {
        let methods = METHODS.into_iter().chain([OTHER]).map(PerMethod::new).collect();
        Self(InterceptLayer::observer(Requests { options, methods }))
    }

    fn with(self, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = self.0.intercept().options.clone();
        change(&mut options);
        Self::of(options)
    }

    /// Says that requests come over TLS: `url.scheme` is `https`.
    #[must_use]
    pub fn https(self) -> Self {
        self.with(|options| options.scheme = "https")
    }

    /// Measures the requests that a client makes, by the server in their URI: at most 256 are told
    /// apart, and all others are `_OTHER`. Every status from 400 on is an error then.
    #[must_use]
    pub fn client(self) -> Self {
        self.with(|options| options.names = CLIENT)
    }

    /// Finds the template of a request's path in its extensions, as for axum:
    /// `.route(|extensions| Some(extensions.get::<MatchedPath>()?.as_str()))`. At most 256 are told
    /// apart.
    #[must_use]
    pub fn route<F>(self, template: F) -> Self
    where
        F: Fn(&Extensions) -> Option<&str> + Send + Sync + 'static,
    {
        self.with(|options| options.template = Arc::new(template))
    }

    /// Counts durations in these buckets, whose bounds are in seconds.
    #[must_use]
    pub fn buckets(self, buckets: Buckets) -> Self {
        self.with(|options| options.buckets = buckets)
    }
}

impl<S> Layer<S> for HttpMetricsLayer {
    type Service = Intercepted<Requests, Observes, S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(inner)
    }
}

/// What all requests of an [`HttpMetricsLayer`] share.
pub struct Requests {
    options: Options,
    methods: Vec<PerMethod>,
}

#[derive(Clone)]
struct Options {
    sink: Sink,
    names: Names,
    scheme: &'static str,
    buckets: Buckets,
    template: Arc<Template>,
}

struct PerMethod {
    name: &'static str,
    /// By template, or by the server that is asked; the empty one is that of requests without, and
    /// of those for which there is no room.
    routes: RwLock<HashMap<String, Arc<Route>>>,
}

/// The requests to one place.
struct Route {
    pairs: Pairs,
    active: Active,
    /// By status, or by how it ended without one.
    outcomes: Table<Histogram>,
    /// Of statuses for which there is no room.
    rest: OnceLock<Histogram>,
}

impl PerMethod {
    fn new(name: &'static str) -> Self {
        Self { name, routes: RwLock::default() }
    }

    fn route(&self, place: &str, make: impl FnOnce(&str) -> Route) -> Arc<Route> {
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = known.get(place) {
            return route.clone();
        }
        let place = if known.len() < ROUTES { place } else { "" };
        drop(known);
        let mut known = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(place.to_owned()).or_insert_with(|| Arc::new(make(place))).clone()
    }
}

impl Requests {
    fn is_client(&self) -> bool {
        self.options.names.duration == CLIENT.duration
    }

    fn make(&self, method: &PerMethod, place: &str) -> Route {
        let Options { sink, names, scheme, .. } = &self.options;
        let method = (semconv::HTTP_REQUEST_METHOD.to_owned(), method.name.to_owned());
        let scheme = (semconv::URL_SCHEME.to_owned(), (*scheme).to_owned());
        let mut pairs = vec![method];
        if self.is_client() {
            let (address, port) = place.rsplit_once(':').unwrap_or((OTHER, ""));
            pairs.push((semconv::SERVER_ADDRESS.to_owned(), address.to_owned()));
            if !port.is_empty() {
                pairs.push((semconv::SERVER_PORT.to_owned(), port.to_owned()));
            }
        } else {
            pairs.push(scheme);
        }
        let active = sink.active(names, &pairs, "{request}");
        if !self.is_client() && !place.is_empty() {
            pairs.push((semconv::HTTP_ROUTE.to_owned(), place.to_owned()));
        }
        Route { pairs, active, outcomes: Table::new(OUTCOMES), rest: OnceLock::new() }
    }

    fn bind(&self, route: &Route, answer: Option<Answer>) -> Histogram {
        let Options { sink, names, buckets, .. } = &self.options;
        let mut pairs = route.pairs.clone();
        if let Some(Answer::Status(status)) = answer {
            pairs.push((semconv::HTTP_RESPONSE_STATUS_CODE.to_owned(), status.to_string()));
        }
        // What a server was asked wrongly is no error of it, but one of whoever has asked.
        let least = if self.is_client() { 400 } else { 500 };
        let error = match answer {
            Some(Answer::Status(status)) if status >= least => Some(status.to_string()),
            Some(Answer::Without(why)) => Some(why.to_owned()),
            _ => None,
        };
        pairs.extend(error.map(|error| (semconv::ERROR_TYPE.to_owned(), error)));
        sink.durations(names, &pairs, buckets)
    }

    /// Where a request belongs: its template, or whom it asks.
    fn place<'a, B>(&self, request: &'a Request<B>) -> Cow<'a, str> {
        if !self.is_client() {
            return (self.options.template)(request.extensions()).unwrap_or_default().into();
        }
        let uri = request.uri();
        let Some(host) = uri.host() else { return "".into() };
        let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        format!("{host}:{}", uri.port_u16().unwrap_or(usual)).into()
    }
}

/// What became of a request.
#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    Without(&'static str),
}

impl Answer {
    fn key(self) -> usize {
        match self {
            Self::Status(status) => usize::from(status),
            Self::Without(why) => why.len(),
        }
    }
}

impl<B> Intercept<Request<B>> for Requests {
    type Guard = Requesting;
    type Refusal = Infallible;

    fn before(self: &Arc<Self>, request: &mut Request<B>) -> Result<Requesting, Infallible> {
        let name = request.method().as_str();
        let at = METHODS.iter().position(|known| *known == name).unwrap_or(METHODS.len());
        // There is one more than those that are known.
        let method = &self.methods[at];
        let route = method.route(&self.place(request), |place| self.make(method, place));
        route.active.begin();
        let trace = request.context().trace().filter(|trace| trace.is_sampled());
        let trace = trace.map(|trace| (trace.trace_id(), trace.span_id()));
        let started = request.started();
        let answer = Answer::Without("cancelled");
        Ok(Requesting { requests: self.clone(), route, started, trace, answer })
    }

    fn name(&self) -> &'static str {
        "http metrics"
    }
}

/// A request that has not ended yet.
pub struct Requesting {
    requests: Arc<Requests>,
    route: Arc<Route>,
    started: Instant,
    trace: Option<(TraceId, SpanId)>,
    answer: Answer,
}

impl<B, Err> Guard<Response<B>, Err> for Requesting {
    fn response(&mut self, outcome: &mut Result<Response<B>, Err>) {
        self.answer = match outcome {
            Ok(response) => Answer::Status(response.status().as_u16()),
            Err(_) => Answer::Without("error"),
        };
    }

    fn end(self, end: End<'_>) {
        let (at, took) = (end.at(self.started), end.took(self.started));
        let answer = match end.how() {
            How::Panicked => Answer::Without("panicked"),
            How::Dropped => Answer::Without("cancelled"),
            How::Streamed(Err(_)) => Answer::Without("error"),
            How::Returned | How::Streamed(Ok(())) => self.answer,
        };
        self.route.active.end();
        let seen =
            self.trace.map(|(trace, span)| Seen { trace, span, value: took.as_secs_f64(), at });
        let Self { requests, route, .. } = &self;
        route
            .outcomes
            .get(answer.key(), || requests.bind(route, Some(answer)))
            .unwrap_or_else(|| route.rest.get_or_init(|| requests.bind(route, None)))
            .record(took, seen);
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

impl fmt::Debug for Requesting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requesting").finish_non_exhaustive()
    }
}
