use crate::call;
use opentelemetry::{
    SpanId,
    trace::{SpanKind, Status, TracerProvider as _},
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use purlin_endpoint::{Context, Endpoint as _, Error, Layer as _, Trace, endpoint_fn};
use purlin_tracing::{Spans, Tracer, Tracing, TracingLayer};
use purlin_tracing_otlp::{Ids, Otel, Provided};
use std::time::SystemTime;

fn tracer() -> (Tracer, Spans) {
    Tracing::new("greeter").resource("host.name", "a").tracer().unwrap()
}

fn caller() -> Trace {
    let trace = purlin_endpoint::TraceId::new(0xabc).unwrap();
    let span = purlin_endpoint::SpanId::new(0xdef).unwrap();
    Trace::new(trace, span).sampled(true).with_state("a=1,b=2")
}

/// What both ways to OpenTelemetry have to make of a call and its caller.
fn check(spans: &[SpanData], caller: &Trace, trace: &str) {
    let [server, client] = spans else { panic!("{spans:?}") };
    for span in spans {
        assert_eq!(span.span_context.trace_id().to_string(), trace);
        assert!(span.span_context.is_sampled());
        assert_eq!(span.span_context.trace_state().header(), caller.state().unwrap());
        assert!(span.start_time <= span.end_time && span.end_time <= SystemTime::now());
        assert!(
            matches!(&span.status, Status::Error { description } if description == "internal error")
        );
        assert_eq!(span.events.events[0].name, "exception");
    }
    assert_eq!(client.parent_span_id.to_string(), caller.span_id().to_string());
    assert_eq!(server.parent_span_id, client.span_context.span_id());
    assert_eq!((&client.span_kind, &server.span_kind), (&SpanKind::Client, &SpanKind::Server));
    assert_eq!((&*client.name, &*server.name), ("greet", "greeter.Greeter/Greeting"));
    let said: Vec<_> =
        server.attributes.iter().map(|said| format!("{}={}", said.key, said.value)).collect();
    assert_eq!(
        said,
        [
            "rpc.method=greeter.Greeter/Greeting",
            "rpc.response.status_code=INTERNAL",
            "error.type=INTERNAL",
            "network.peer.address=10.0.0.7",
            "network.peer.port=4711",
        ]
    );
}

#[tokio::test]
async fn an_exporter_of_the_sdk_gets_what_is_known_of_a_call() {
    let (tracer, spans) = tracer();
    let trace = call(&tracer, Context::new().with_trace(caller())).await;
    let exporter = InMemorySpanExporter::default();
    spans.export(Otel::new(exporter.clone()), async {}).await;
    let spans = exporter.get_finished_spans().unwrap();
    check(&spans, &caller(), &trace);
    assert_eq!(spans[0].instrumentation_scope.name(), "purlin-tracing");
    assert_eq!(tracer.handle().exported(), 2);
}

#[tokio::test]
async fn an_injected_provider_makes_the_same_spans_with_the_same_ids() {
    let (tracer, spans) = tracer();
    let trace = call(&tracer, Context::new().with_trace(caller())).await;
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_id_generator(Ids::default())
        .with_simple_exporter(exporter.clone())
        .build();
    spans.export(Provided::new(provider.tracer("test")), async {}).await;
    check(&exporter.get_finished_spans().unwrap(), &caller(), &trace);
}

#[tokio::test]
async fn a_call_without_a_caller_is_the_first_of_its_trace_in_a_provider_too() {
    let (tracer, spans) = tracer();
    let trace = call(&tracer, Context::new()).await;
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_id_generator(Ids::default())
        .with_simple_exporter(exporter.clone())
        .build();
    spans.export(Provided::new(provider.tracer("test")), async {}).await;
    let spans = exporter.get_finished_spans().unwrap();
    assert_eq!(spans[1].parent_span_id, SpanId::INVALID);
    assert_eq!(spans[1].span_context.trace_id().to_string(), trace);
    assert_eq!(spans[0].parent_span_id, spans[1].span_context.span_id());
}

#[tokio::test]
async fn the_caller_of_a_public_call_is_a_link() {
    let (tracer, spans) = tracer();
    let public = TracingLayer::server(&tracer)
        .public()
        .layer(endpoint_fn(|_: Context, ()| async { Ok::<_, Error>(()) }));
    public.invoke(Context::new().with_trace(caller()), ()).await.unwrap();
    let exporter = InMemorySpanExporter::default();
    spans.export(Otel::new(exporter.clone()), async {}).await;
    let [span] = &exporter.get_finished_spans().unwrap()[..] else { panic!("one span") };
    let linked = &span.links.links[0].span_context;
    assert_eq!(linked.span_id().to_string(), caller().span_id().to_string());
    assert_ne!(span.span_context.trace_id(), linked.trace_id());
    assert_eq!(span.status, Status::Unset);
}
