//! Nanoseconds per span, beside what a user would pick instead.
//!
//! Run with `cargo bench -p purlin-bench --bench tracing`.

use std::error::Error;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanKind, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use purlin_bench::micro::{Micro, Timed};
use purlin_bench::table::Table;
use purlin_endpoint::{
    Context, EndpointFn, Layer as _, Method, Peer, Request, Service as _, SpanId, Trace, TraceId,
    endpoint_fn,
};
use purlin_tracing::{Sampling, Spans, Tracer, Tracing, TracingLayer};
use tracing::dispatcher::{Dispatch, set_default};
use tracing_subscriber::layer::SubscriberExt as _;

static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo test --all-targets` runs this too, and has no use for timings.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let mut timed = Timed::default();
    ours(&mut timed)?;
    sdk(&mut timed);
    tracing_opentelemetry(&mut timed);
    let mut table = Table::new(&["row", "ns, 1 thread", "ns, each of 2 threads"]);
    for (name, one, two) in &timed.rows {
        let [one, two] =
            [one, two].map(|spread| spread.map_or("–".into(), |s| format!("{s:.1}")));
        table.row([name.clone(), one, two]);
    }
    println!("{table}");
    Ok(())
}

/// What a transport knows of a call. Making it is in every row of ours, the first one alone.
fn context(trace: Option<Trace>) -> Context {
    let context = Context::new().with_method(&GREETING).with_peer(Peer::Memory);
    match trace {
        Some(trace) => context.with_trace(trace),
        None => context,
    }
}

fn caller(sampled: bool) -> Option<Trace> {
    Some(Trace::new(TraceId::new(7)?, SpanId::new(8)?).sampled(sampled))
}

type Nothing = EndpointFn<fn(Context, ()) -> Ready<Result<(), purlin_endpoint::Error>>>;

fn nothing() -> Nothing {
    endpoint_fn(|_, ()| ready(Ok(())))
}

fn ours(timed: &mut Timed) -> Result<(), Box<dyn Error>> {
    for (name, trace) in [("no layer", None), ("no layer, of a trace", caller(false))] {
        timed.row(name, || {
            let mut nothing = nothing();
            let trace = trace.clone();
            async move || {
                nothing.call(Request::new(black_box(context(trace.clone())), ())).await.is_ok()
            }
        });
    }
    let (never, _kept) = Tracing::new("bench").sampling(Sampling::never()).tracer()?;
    row(timed, "purlin, server, not sampled, first", &TracingLayer::server(&never), None);
    row(
        timed,
        "purlin, server, not sampled, child",
        &TracingLayer::server(&never),
        caller(false).as_ref(),
    );
    row(
        timed,
        "purlin, client, not sampled, child",
        &TracingLayer::client(&never),
        caller(false).as_ref(),
    );
    let (always, spans) = Tracing::new("bench").queue(1 << 16).tracer()?;
    drained(spans, || {
        row(timed, "purlin, server, sampled, first", &TracingLayer::server(&always), None);
        row(
            timed,
            "purlin, server, sampled, child",
            &TracingLayer::server(&always),
            caller(true).as_ref(),
        );
        row(
            timed,
            "purlin, client, sampled, child",
            &TracingLayer::client(&always),
            caller(true).as_ref(),
        );
    });
    share_dropped(&always);
    Ok(())
}

fn row(timed: &mut Timed, name: &str, layer: &TracingLayer, trace: Option<&Trace>) {
    timed.row(name, || {
        let mut traced = layer.layer(nothing());
        let trace = trace.cloned();
        async move || traced.call(Request::new(black_box(context(trace.clone())), ())).await.is_ok()
    });
}

/// Does the work while another thread takes away what is recorded, as an exporter would.
fn drained(mut spans: Spans, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                drop(spans.take());
                thread::sleep(Duration::from_millis(2));
            }
        });
        work();
        done.store(true, Ordering::Relaxed);
    });
}

fn share_dropped(tracer: &Tracer) {
    println!("{} spans were dropped since the queue was full", tracer.handle().dropped());
}

/// Exports into nothing.
#[derive(Debug)]
struct Discard;

impl SpanExporter for Discard {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }
}

fn sdk(timed: &mut Timed) {
    let off = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).build();
    let simple = SdkTracerProvider::builder().with_simple_exporter(Discard).build();
    let batch = SdkTracerProvider::builder()
        .with_span_processor(BatchSpanProcessor::builder(Discard).build())
        .build();
    for (name, provider) in [
        ("opentelemetry_sdk, not sampled", off),
        ("opentelemetry_sdk, sampled, simple, 4 attributes", simple),
        ("opentelemetry_sdk, sampled, batch, 4 attributes", batch),
    ] {
        timed.row(name, || {
            let tracer = provider.tracer("bench");
            async move || {
                let builder =
                    tracer.span_builder("greeter.Greeter/Greeting").with_kind(SpanKind::Server);
                let mut span = tracer.build(builder);
                if span.is_recording() {
                    span.set_attributes([
                        KeyValue::new("rpc.method", "greeter.Greeter/Greeting"),
                        KeyValue::new("rpc.response.status_code", "OK"),
                        KeyValue::new("network.peer.address", "127.0.0.1"),
                        KeyValue::new("network.peer.port", 4711),
                    ]);
                }
                span.end();
            }
        });
    }
}

fn tracing_opentelemetry(timed: &mut Timed) {
    let off = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).build();
    let on = SdkTracerProvider::builder().with_simple_exporter(Discard).build();
    for (name, provider) in [
        ("tracing-opentelemetry, not sampled", off),
        ("tracing-opentelemetry, sampled, simple", on),
    ] {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        timed.row(name, || {
            let subscriber = set_default(&dispatch);
            async move || {
                let _in_use = &subscriber;
                let span = tracing::info_span!(
                    "call",
                    rpc.method = "greeter.Greeter/Greeting",
                    rpc.response.status_code = "OK",
                    network.peer.address = "127.0.0.1",
                    network.peer.port = 4711
                );
                span.in_scope(|| black_box(()));
            }
        });
    }
}
