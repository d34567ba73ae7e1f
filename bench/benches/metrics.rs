//! What a measured call costs, beside what a user would pick instead.
//!
//! Run with `cargo bench -p purlin-bench --bench metrics`. What a layer costs is the difference to
//! the row of the same service without it. One reading of the clock is in it; where layers share
//! that, as the last row of the calls shows, it is less.

use std::convert::Infallible;
use std::future::ready;
use std::hint::black_box;

use axum_prometheus::BaseMetricLayer;
use http::{Request as HttpRequest, Response};
use metrics::{Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use purlin_bench::Failure;
use purlin_bench::micro::{Micro, Rows, compare};
use purlin_endpoint::{Context, Error, Method, Request};
use purlin_metrics::{HttpMetricsLayer, MetricsLayer, Registry};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceBuilder, service_fn};

static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");

fn main() -> Result<(), Failure> {
    let against = [
        ("exporter-prometheus", "purlin registry: counter and histogram, bound"),
        ("http: axum-prometheus", "http: metrics"),
        ("http: as axum's example", "http: metrics"),
        ("Go kit", "purlin registry: counter, histogram and in-flight, bound"),
    ];
    compare(&Metrics, "metrics", &against)
}

struct Metrics;

impl Rows for Metrics {
    // The exporter calibrates its clock at the start, for as long as that takes.
    const STEADY: bool = false;

    fn measure(&self, micro: &mut impl Micro) -> Result<(), Failure> {
        handles(micro);
        calls(micro);
        requests(micro);
        Ok(())
    }
}

const METADATA: Metadata<'static> = Metadata::new("bench", Level::INFO, None);

/// The exporter, with what keeps it from growing: a measured call pays for that too.
struct Exporter {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Exporter {
    fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        Self { recorder, handle }
    }
}

/// Every so many calls, upkeep runs: some ten times a second on a busy server.
const UPKEEP: u32 = 10_000;

/// Runs upkeep when it is time.
fn kept(handle: &PrometheusHandle) -> impl FnMut() + use<> {
    let (handle, mut calls) = (handle.clone(), 0_u32);
    move || {
        calls += 1;
        if calls.is_multiple_of(UPKEEP) {
            handle.run_upkeep();
        }
    }
}

fn handles(micro: &mut impl Micro) {
    let Exporter { recorder, handle } = Exporter::new();
    let key = |name| Key::from_parts(name, vec![Label::new("method", "Greeting")]);
    let counter = recorder.register_counter(&key("calls"), &METADATA);
    let histogram = recorder.register_histogram(&key("took"), &METADATA);
    micro.row("exporter-prometheus: counter and histogram, bound", || {
        let (counter, histogram, mut keep) = (counter.clone(), histogram.clone(), kept(&handle));
        async move || {
            counter.increment(black_box(1));
            histogram.record(black_box(0.001));
            keep();
        }
    });
    micro.row("exporter-prometheus: macros with owned labels", || {
        let mut keep = kept(&handle);
        let recorder = &recorder;
        async move || {
            macros(recorder, 0.001);
            keep();
        }
    });
    let registry = Registry::new();
    let counter = registry.register_counter(&key("calls"), &METADATA);
    let histogram = registry.register_histogram(&key("took"), &METADATA);
    micro.row("purlin registry: counter and histogram, bound", || {
        let (counter, histogram) = (counter.clone(), histogram.clone());
        async move || {
            counter.increment(black_box(1));
            histogram.record(black_box(0.001));
        }
    });
    let in_flight = registry.register_gauge(&key("in_flight"), &METADATA);
    micro.row("purlin registry: counter, histogram and in-flight, bound", || {
        let (counter, histogram) = (counter.clone(), histogram.clone());
        let in_flight = in_flight.clone();
        async move || {
            in_flight.increment(black_box(1.0));
            histogram.record(black_box(0.001));
            counter.increment(black_box(1));
            in_flight.decrement(black_box(1.0));
        }
    });
}

/// What axum's own example does for each request.
fn macros(recorder: &PrometheusRecorder, took: f64) {
    let labels = [
        ("method", black_box("GET").to_owned()),
        ("path", black_box("/greeting").to_owned()),
        ("status", black_box("200").to_owned()),
    ];
    metrics::with_local_recorder(recorder, || {
        metrics::counter!("http_requests_total", &labels).increment(1);
        metrics::histogram!("http_requests_duration_seconds", &labels).record(black_box(took));
    });
}

fn calls(micro: &mut impl Micro) {
    let bare = service_fn(|request: Request<u64>| ready(Ok::<_, Error>(request.message)));
    call(micro, "call: no layer", &bare, None);
    let layer = MetricsLayer::new(Registry::new());
    call(micro, "call: metrics", &layer.layer(bare), None);
    let tenant = layer.clone().label("tenant", 100, |_| Some("acme"));
    call(micro, "call: metrics with a label of the user's", &tenant.layer(bare), None);
    let Exporter { recorder, handle } = Exporter::new();
    let foreign = MetricsLayer::new(recorder).layer(bare);
    call(micro, "call: metrics into exporter-prometheus", &foreign, Some(&handle));
    let twice = ServiceBuilder::new().layer(layer).layer(MetricsLayer::new(Registry::new()));
    call(micro, "call: metrics twice, one reading of the clock", &twice.service(bare), None);
}

/// Calls a service whose transport has read the clock, as ours do.
fn call<S>(micro: &mut impl Micro, name: &str, service: &S, upkeep: Option<&PrometheusHandle>)
where
    S: Service<Request<u64>, Response = u64, Error = Error> + Clone + Sync,
{
    let context = Context::new().with_method(&GREETING);
    let started = Instant::now();
    micro.row(name, || {
        let (mut service, context) = (service.clone(), context.clone());
        let mut keep = upkeep.map(kept);
        async move || {
            let request = Request::new(context.clone(), black_box(1)).started_at(started);
            if let Some(keep) = &mut keep {
                keep();
            }
            service.call(request).await
        }
    });
}

fn requests(micro: &mut impl Micro) {
    let bare = service_fn(|request: HttpRequest<u64>| {
        black_box(request);
        ready(Ok::<_, Infallible>(Response::new(String::new())))
    });
    micro.row("http: no layer", || calling(bare));
    let layer = HttpMetricsLayer::new(Registry::new()).route(|_| Some("/greeting"));
    let measured = layer.layer(bare);
    micro.row("http: metrics", || calling(measured.clone()));
    let Exporter { recorder, handle } = Exporter::new();
    let recorder = &recorder;
    let layer = BaseMetricLayer::new();
    micro.row("http: axum-prometheus, as it comes", || {
        // Its layer records by the macros alone: into a recorder of this thread, or a global one.
        let recording = metrics::set_default_local_recorder(recorder);
        let (mut call, mut keep) = (calling(layer.layer(bare)), kept(&handle));
        async move || {
            let _ = &recording;
            keep();
            call().await
        }
    });
    micro.row("http: as axum's example, macros with owned labels", || {
        let (mut call, mut keep) = (calling(bare), kept(&handle));
        async move || {
            let start = Instant::now();
            let answer = call().await;
            macros(recorder, start.elapsed().as_secs_f64());
            keep();
            answer
        }
    });
}

fn calling<S>(mut service: S) -> impl AsyncFnMut() -> Option<S::Response>
where
    S: Service<HttpRequest<u64>, Error = Infallible>,
{
    async move || service.call(HttpRequest::new(black_box(1))).await.ok()
}
