//! Against Jaeger and OpenTelemetry's collector, which are started for each test.

mod collector;
mod jaeger;
mod process;

use crate::call;
use collector::Collector;
use jaeger::Jaeger;
use purlin_endpoint::Context;
use purlin_http_client::HttpClient;
use purlin_tracing::{Export, Tracer, Tracing};
use purlin_tracing_otlp::Otel;
use serde_json::Value;
use std::{
    future::pending,
    net::TcpListener,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// Looks until it is so; it has so many seconds to become so.
async fn until(what: &str, seconds: u64, mut is_so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < Duration::from_secs(seconds), "{what}: not within {seconds} s");
        // sleeps: another process is waited for, and says nothing when it is there.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A port that was free just now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn tracing_to(exporter: impl Export + 'static) -> (Tracer, JoinHandle<()>) {
    let tracing = Tracing::new("greeter").resource("host.name", "a");
    let (tracer, spans) = tracing.interval(Duration::from_millis(50)).tracer().unwrap();
    (tracer, tokio::spawn(spans.export(exporter, pending())))
}

/// What this attribute says, in the JSON of Jaeger or of the collector.
fn said(attributes: &Value, name: &str) -> String {
    let attributes = attributes.as_array().unwrap();
    let found = attributes.iter().find(|attribute| attribute["key"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {attributes:?}"))["value"].to_string()
}

async fn found_in_jaeger(jaeger: &Jaeger, exporter: impl Export + 'static) {
    let (tracer, exporting) = tracing_to(exporter);
    let trace = call(&tracer, Context::new()).await;
    until("the trace is there", 30, async || jaeger.spans(&trace).await.len() == 2).await;
    let spans = jaeger.spans(&trace).await;
    let named = |name: &str| spans.iter().find(|span| span["operationName"] == name).unwrap();
    let (near, far) = (named("greet"), named("greeter.Greeter/Greeting"));
    assert_eq!(far["references"][0]["refType"], "CHILD_OF");
    assert_eq!(far["references"][0]["spanID"], near["spanID"]);
    assert_eq!(said(&far["tags"], "span.kind"), "\"server\"");
    assert_eq!(said(&near["tags"], "span.kind"), "\"client\"");
    assert_eq!(said(&far["tags"], "rpc.response.status_code"), "\"INTERNAL\"");
    assert_eq!(said(&far["tags"], "otel.status_code"), "\"ERROR\"");
    assert_eq!(said(&far["tags"], "network.peer.port"), "4711");
    assert_eq!(said(&far["tags"], "otel.scope.name"), "\"purlin-tracing\"");
    let event = said(&far["logs"][0]["fields"], "exception.message");
    assert!(event.contains("out of paper"), "{event}");
    assert_eq!(tracer.handle().refused(), 0);
    exporting.abort();
}

#[tokio::test]
async fn a_trace_is_found_in_jaeger_sent_over_grpc() {
    let jaeger = Jaeger::start().await;
    found_in_jaeger(&jaeger, Otel::grpc(jaeger.grpc()).unwrap()).await;
}

#[tokio::test]
async fn a_trace_is_found_in_jaeger_sent_over_http() {
    let jaeger = Jaeger::start().await;
    found_in_jaeger(&jaeger, Otel::http(jaeger.http(), HttpClient::new()).unwrap()).await;
}

#[tokio::test]
async fn a_restart_of_jaeger_loses_nothing_that_was_recorded_meanwhile() {
    for http in [false, true] {
        let mut jaeger = Jaeger::start().await;
        let exporter = match http {
            false => Otel::grpc(jaeger.grpc()).unwrap(),
            true => Otel::http(jaeger.http(), HttpClient::new()).unwrap(),
        };
        let (tracer, exporting) = tracing_to(exporter);
        call(&tracer, Context::new()).await;
        until("the first spans are exported", 30, async || tracer.handle().exported() == 2).await;
        jaeger.kill();
        let mut traces = Vec::new();
        for _ in 0..20 {
            traces.push(call(&tracer, Context::new()).await);
        }
        jaeger.restart().await;
        until("all spans are exported", 60, async || tracer.handle().exported() == 42).await;
        for trace in &traces {
            until("the trace is there", 30, async || jaeger.spans(trace).await.len() == 2).await;
        }
        assert_eq!((tracer.handle().dropped(), tracer.handle().refused()), (0, 0));
        exporting.abort();
    }
}

#[tokio::test]
async fn the_collector_gets_every_span_with_its_resource_and_the_version_of_the_names() {
    let collector = Collector::start().await;
    for http in [false, true] {
        let exporter = match http {
            false => Otel::grpc(collector.grpc()).unwrap(),
            true => Otel::http(collector.http(), HttpClient::new()).unwrap(),
        };
        let (tracer, exporting) = tracing_to(exporter);
        let mut traces = Vec::new();
        for _ in 0..300 {
            traces.push(call(&tracer, Context::new()).await);
        }
        let of_ours = |written: &[Value]| {
            let ids = written.iter().map(|span| span["traceId"].as_str().unwrap());
            ids.filter(|id| traces.iter().any(|trace| trace == id)).count()
        };
        until("all spans are written", 30, async || of_ours(&collector.spans()) == 600).await;
        exporting.abort();
    }
    let resource = &collector.batches()[0];
    assert_eq!(
        said(&resource["resource"]["attributes"], "service.name"),
        r#"{"stringValue":"greeter"}"#
    );
    assert_eq!(said(&resource["resource"]["attributes"], "host.name"), r#"{"stringValue":"a"}"#);
    assert_eq!(resource["scopeSpans"][0]["schemaUrl"], purlin_tracing::semconv::SCHEMA_URL);
}
