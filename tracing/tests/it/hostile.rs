use crate::{only, tracer};
use http::{HeaderMap, HeaderValue};
use purlin_endpoint::{Context, Endpoint as _, Error, Method, MethodLayer, endpoint_fn};
use purlin_tracing::{Propagation, Span, TracingLayer};
use tower::ServiceBuilder;

static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");

/// All texts of a span.
fn texts(span: &Span) -> Vec<String> {
    let events = span.events.iter().flat_map(|event| &event.attributes);
    let values = span.attributes.iter().chain(events).map(|(_, value)| value.to_string());
    let failed = span.failed.iter().map(ToString::to_string);
    values.chain(failed).chain([span.name.to_string()]).collect()
}

#[tokio::test]
async fn nothing_that_a_caller_sends_reaches_a_span_raw_or_changes_its_name() {
    let all: Propagation = "tracecontext,baggage,b3,b3multi".parse().unwrap();
    let tracestate = "a=".to_owned() + &"x".repeat(10 * 1024);
    let hostile: [(&str, &[u8]); 8] = [
        ("traceparent", b"00-00000000000000000000000000000000-0000000000000000-00"),
        ("traceparent", b"00-\x1b[2J000000000000000000000000000-b7ad6b7169203331-01"),
        ("tracestate", tracestate.as_bytes()),
        ("tracestate", b"a=\x1b[2J"),
        ("baggage", b"a=%1b%5b2J%0a"),
        ("baggage", b"\xff\xfe=\xff"),
        ("b3", b"\xc3\x28-1"),
        ("x-b3-traceid", b"\t\x80"),
    ];
    let (tracer, mut spans) = tracer();
    let server = ServiceBuilder::new()
        .layer(MethodLayer::new(&GREETING))
        .layer(TracingLayer::server(&tracer))
        .service(endpoint_fn(|_: Context, said: String| async move {
            Err::<(), _>(Error::invalid("name", format!("is {said}")))
        }));
    for (name, bytes) in hostile {
        let mut headers = HeaderMap::new();
        // What HTTP itself refuses never comes so far.
        let Ok(value) = HeaderValue::from_bytes(bytes) else { continue };
        headers.insert(name, value);
        let context = all.extract(&headers, Context::new()).unwrap();
        let said = "\x1b[2J\r\nlevel=error \u{85}\u{202e}".to_owned() + &"ä".repeat(10_000);
        server.invoke(context, said).await.unwrap_err();
        let span = only(&mut spans);
        assert_eq!((&*span.name, span.parent), ("greeter.Greeter/Greeting", None));
        assert_eq!(span.trace.state(), None);
        for text in texts(&span) {
            assert!(!text.chars().any(char::is_control), "{text:?}");
            assert!(text.len() <= 4096, "{} bytes", text.len());
        }
    }
}

#[tokio::test]
async fn spans_that_nobody_exports_fill_no_memory() {
    let (tracer, mut spans) = purlin_tracing::Tracing::new("test").queue(10).tracer().unwrap();
    let server = ServiceBuilder::new()
        .layer(TracingLayer::server(&tracer))
        .service(endpoint_fn(|_: Context, ()| async { Ok::<_, Error>(()) }));
    for _ in 0..1000 {
        server.invoke(Context::new(), ()).await.unwrap();
    }
    let handle = tracer.handle();
    assert_eq!((handle.queued(), handle.dropped()), (10, 990));
    assert_eq!(spans.take().len(), 10);
    drop(spans);
    server.invoke(Context::new(), ()).await.unwrap();
    assert_eq!((handle.queued(), handle.dropped()), (0, 991));
}
