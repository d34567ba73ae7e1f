use opentelemetry::trace::TraceContextExt as _;
use purlin_endpoint::{Context, Endpoint as _, Error, conformance, endpoint_fn};
use purlin_tracing::{Tracing, TracingLayer};
use purlin_tracing_otlp::CurrentLayer;
use tower::ServiceBuilder;

fn current() -> (String, String) {
    let context = opentelemetry::Context::current();
    let place = context.span().span_context().clone();
    (place.trace_id().to_string(), place.span_id().to_string())
}

#[tokio::test]
async fn the_place_of_a_call_is_opentelemetrys_current_one_at_every_poll_and_nowhere_else() {
    let (tracer, _spans) = Tracing::new("test").tracer().unwrap();
    let outside = current();
    let endpoint = ServiceBuilder::new()
        .layer(TracingLayer::server(&tracer))
        .layer(CurrentLayer::new())
        .service(endpoint_fn(|context: Context, ()| async move {
            let first = current();
            tokio::task::yield_now().await;
            let trace = context.trace().unwrap();
            assert_eq!(first, (trace.trace_id().to_string(), trace.span_id().to_string()));
            assert_eq!(first, current());
            Ok::<_, Error>(first)
        }));
    let inside = endpoint.invoke(Context::new(), ()).await.unwrap();
    assert_ne!(inside, outside);
    assert_eq!(current(), outside);
}

#[tokio::test]
async fn the_layer_keeps_the_rules_of_all_layers() {
    conformance::check(CurrentLayer::new).await;
}
