//! Go kit's scenarios of `tracing/opentracing` (ot), `tracing/opencensus` (oc) and
//! `tracing/zipkin` (zp). What they compare with itself is compared here with what it should be.

use crate::{called_by, caller, only, text, tracer};
use http::HeaderMap;
use purlin_endpoint::{
    Attempts, Baggage, Code, Context, Endpoint as _, Error, Request, Verdict, endpoint_fn,
};
use purlin_tracing::{Format, Propagation, Sampling, Side, Span, Tracing, TracingLayer, semconv};
use tower::{Layer as _, ServiceBuilder};

/// Go kit's `endpoint.Failer`: a failure of the business within a response.
#[derive(Clone)]
struct Answer {
    failed: bool,
}

fn failer(outcome: &Result<Answer, Error>) -> Verdict {
    match outcome {
        Ok(Answer { failed: true }) => Verdict::of(Code::FailedPrecondition),
        Ok(_) => Verdict::OK,
        Err(error) => Verdict::of(error.code()),
    }
}

/// The span of a call that ends so.
async fn span(
    set: impl FnOnce(TracingLayer) -> TracingLayer,
    answer: impl FnOnce() -> Result<Answer, Error>,
) -> Span {
    let (tracer, mut spans) = tracer();
    let layer = set(TracingLayer::client(&tracer)).classify(failer);
    let mut answer = Some(answer());
    let endpoint = std::sync::Arc::new(std::sync::Mutex::new(answer.take()));
    let called = layer.layer(endpoint_fn(move |_: Context, ()| {
        let answer = endpoint.lock().unwrap().take();
        async move { answer.unwrap() }
    }));
    let _ = called.invoke(Context::new(), ()).await;
    only(&mut spans)
}

fn same(layer: TracingLayer) -> TracingLayer {
    layer
}

fn ok() -> Result<Answer, Error> {
    Ok(Answer { failed: false })
}

#[tokio::test]
async fn ot_1_a_span_has_its_caller_for_a_parent_or_none() {
    let (tracer, mut spans) = tracer();
    for layer in [TracingLayer::server(&tracer), TracingLayer::client(&tracer)] {
        let endpoint = layer.layer(endpoint_fn(|_: Context, ()| async { Ok::<_, Error>(()) }));
        endpoint.invoke(called_by(caller().sampled(true)), ()).await.unwrap();
        let child = only(&mut spans);
        assert_eq!(child.trace.trace_id(), caller().trace_id());
        assert_eq!(child.parent, Some(caller().span_id()));
        endpoint.invoke(Context::new(), ()).await.unwrap();
        let first = only(&mut spans);
        assert_ne!(first.trace.trace_id(), caller().trace_id());
        assert_eq!(first.parent, None);
    }
}

#[tokio::test]
async fn ot_2_oc_1_a_plain_span_has_not_failed() {
    let span = span(same, ok).await;
    assert_eq!((span.failed.clone(), span.events.len()), (None, 0));
    assert_eq!(text(&span, semconv::ERROR_TYPE), None);
}

#[tokio::test]
async fn ot_2_oc_1_an_error_fails_a_span() {
    let failed = Error::new(Code::Unknown, "some error");
    let span = span(same, || Err(failed)).await;
    assert!(span.failed.is_some());
    assert_eq!(text(&span, semconv::ERROR_TYPE).as_deref(), Some("UNKNOWN"));
}

#[tokio::test]
async fn ot_2_oc_1_each_attempt_of_a_call_that_was_repeated_is_told() {
    let attempt = || Error::new(Code::Unavailable, "some error").public("some error");
    let all = Attempts::keep((0..4).map(|_| attempt()).collect(), attempt());
    let shown = all.find::<Attempts>().unwrap().to_string();
    let previously = "some error (previously: some error; some error; some error; some error)";
    assert_eq!(shown, previously);
    let span = span(same, || Err(all)).await;
    let attempts: Vec<_> =
        span.events.iter().map(|event| event.attribute(semconv::ATTEMPT).cloned()).collect();
    let numbers = (1_i64..=4).map(|number| Some(number.into())).chain([None]);
    assert_eq!(attempts, numbers.collect::<Vec<_>>());
    for event in &span.events {
        let message = event.attribute(semconv::EXCEPTION_MESSAGE).unwrap().to_string();
        assert!(message.starts_with("some error"), "{message}");
    }
}

#[tokio::test]
async fn ot_2_oc_1_a_failure_of_the_business_is_marked() {
    let failed = || Ok(Answer { failed: true });
    let marked = span(same, failed).await;
    assert_eq!(text(&marked, semconv::BUSINESS_FAILURE).as_deref(), Some("true"));
    assert_eq!(text(&marked, semconv::ERROR_TYPE).as_deref(), Some("FAILED_PRECONDITION"));
    assert!(marked.failed.is_some());
}

#[tokio::test]
async fn ot_2_oc_1_a_failure_of_the_business_is_ignored_where_nobody_judges_responses() {
    let (tracer, mut spans) = tracer();
    let endpoint = TracingLayer::client(&tracer)
        .layer(endpoint_fn(|_: Context, ()| async { Ok::<_, Error>(Answer { failed: true }) }));
    endpoint.invoke(Context::new(), ()).await.unwrap();
    let span = only(&mut spans);
    assert_eq!((text(&span, semconv::BUSINESS_FAILURE), span.failed), (None, None));
}

#[tokio::test]
async fn ot_2_oc_1_a_span_has_the_name_that_a_function_gives_it() {
    let span = span(|layer| layer.name(|_| "operation"), ok).await;
    assert_eq!(span.name, "operation");
    // Go kit's function changed the name of later calls too.
    let (tracer, mut spans) = tracer();
    let endpoint = TracingLayer::server(&tracer)
        .name(|context| format!("attempt {}", context.attempt()))
        .layer(endpoint_fn(|_: Context, ()| async { Ok::<_, Error>(()) }));
    for attempt in [3, 1] {
        endpoint.invoke(Context::new().with_attempt(attempt), ()).await.unwrap();
        assert_eq!(only(&mut spans).name, format!("attempt {attempt}"));
    }
}

#[tokio::test]
async fn ot_2_oc_1_a_span_has_the_tags_of_its_layer_and_of_its_call() {
    let tagged = span(|layer| layer.attribute("tag1", "tag1").attribute("tag2", 2_i64), ok).await;
    assert_eq!(text(&tagged, "tag1").as_deref(), Some("tag1"));
    assert_eq!(text(&tagged, "tag2").as_deref(), Some("2"));
    let found = |layer: TracingLayer| {
        layer.attributes(|context| [("attempt".into(), i64::from(context.attempt()).into())])
    };
    assert_eq!(text(&span(found, ok).await, "attempt").as_deref(), Some("0"));
}

#[tokio::test]
async fn ot_3_a_span_says_its_side() {
    let (tracer, mut spans) = tracer();
    let both = ServiceBuilder::new()
        .layer(TracingLayer::server(&tracer))
        .layer(TracingLayer::client(&tracer))
        .service(endpoint_fn(|_: Context, ()| async { Ok::<_, Error>(()) }));
    both.invoke(Context::new(), ()).await.unwrap();
    let sides: Vec<Side> = spans.take().iter().map(|span| span.side).collect();
    assert_eq!(sides, [Side::Client, Side::Server]);
}

/// Over HTTP and gRPC alike: a transport's `before` sees the same headers.
#[tokio::test]
async fn ot_4_zp_1_a_trace_and_its_baggage_go_from_one_process_to_the_next() {
    for propagation in [Propagation::w3c(), Propagation::w3c().and(Format::B3)] {
        let (tracer, mut spans) = tracer();
        let far =
            TracingLayer::server(&tracer).layer(endpoint_fn(|context: Context, ()| async move {
                Ok::<_, Error>(context.baggage().get("tenant").map(str::to_owned))
            }));
        let wire = propagation.clone();
        let near = TracingLayer::client(&tracer).layer(endpoint_fn(move |context: Context, ()| {
            let mut headers = HeaderMap::new();
            wire.inject(&context, &mut headers).unwrap();
            let context = wire.extract(&headers, Context::new()).unwrap();
            let far = far.clone();
            async move { far.invoke(context, ()).await }
        }));
        let context = Context::new().with_baggage(Baggage::default().with("tenant", "acme"));
        assert_eq!(near.invoke(context, ()).await.unwrap().as_deref(), Some("acme"));
        let [server, client] = &spans.take()[..] else { panic!("two spans") };
        assert_eq!(server.trace.trace_id(), client.trace.trace_id());
        assert_eq!(server.parent, Some(client.trace.span_id()));
    }
}

#[tokio::test]
async fn oc_2_a_server_finds_its_caller_in_each_format_unless_it_is_public() {
    for (format, name) in [
        (Format::TraceContext, "traceparent"),
        (Format::B3, "b3"),
        (Format::B3Multi, "x-b3-traceid"),
    ] {
        let (tracer, mut spans) = tracer();
        let propagation = Propagation::of(format);
        let mut headers = HeaderMap::new();
        propagation.inject(&called_by(caller().sampled(true)), &mut headers).unwrap();
        assert!(headers.contains_key(name));
        for public in [false, true] {
            let layer = TracingLayer::server(&tracer);
            let layer = if public { layer.public() } else { layer };
            let context = propagation.extract(&headers, Context::new()).unwrap();
            let endpoint = layer.layer(endpoint_fn(|_: Context, ()| async { Ok::<_, Error>(()) }));
            endpoint.invoke(context, ()).await.unwrap();
            let span = only(&mut spans);
            assert_eq!(span.parent.is_none(), public);
            assert_eq!(span.link.is_some(), public);
        }
    }
}

#[tokio::test]
async fn zp_2_a_request_decides_whether_it_is_recorded() {
    let (tracer, mut spans) = Tracing::new("test").sampling(Sampling::always()).tracer().unwrap();
    // Go kit's `RequestSampler`: a function of the transport's `before`.
    let before = |health: bool| match health {
        true => called_by(caller().sampled(false)),
        false => Context::new(),
    };
    let endpoint = TracingLayer::server(&tracer)
        .layer(endpoint_fn(|_: Context, ()| async { Ok::<_, Error>(()) }));
    let mut stack = endpoint.clone();
    for health in [true, false, true] {
        let request = Request::new(before(health), ());
        tower::Service::call(&mut stack, request).await.unwrap();
    }
    assert_eq!(spans.take().len(), 1);
}
