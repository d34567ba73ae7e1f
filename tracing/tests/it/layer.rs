use crate::{called_by, caller, only, text, tracer};
use purlin_endpoint::{
    Call as _, CatchPanicLayer, Code, Context, Endpoint as _, Error, Method, MethodLayer, Notes,
    Peer, Request, Streaming, Trace, endpoint_fn,
};
use purlin_tracing::{Propagation, Sampling, Side, Tracing, TracingLayer, semconv};
use std::time::Duration;
use tower::{ServiceBuilder, ServiceExt as _};

static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");
static GREETINGS: Method = Method::server_streaming("greeter.Greeter", "Greetings");

/// Calls, with the context as given, something that answers what is asked for.
async fn call(layer: TracingLayer, context: Context, code: Code) -> Result<Option<Trace>, Error> {
    ServiceBuilder::new()
        .layer(MethodLayer::new(&GREETING))
        .layer(layer)
        .service(endpoint_fn(|context: Context, code: Code| async move {
            match code {
                Code::Ok => Ok(context.trace().cloned()),
                code => Err(Error::new(code, "the cause").public("the message")),
            }
        }))
        .invoke(context, code)
        .await
}

#[tokio::test]
async fn a_call_without_a_caller_begins_a_trace_and_what_is_inside_knows_it() {
    let (tracer, mut spans) = tracer();
    let inside = call(TracingLayer::server(&tracer), Context::new(), Code::Ok).await.unwrap();
    let span = only(&mut spans);
    assert_eq!(inside.as_ref(), Some(&span.trace));
    assert!(span.trace.is_sampled());
    assert_eq!((span.parent, span.link, span.side), (None, None, Side::Server));
    assert_eq!(span.name, "greeter.Greeter/Greeting");
    assert_eq!(span.failed, None);
}

#[tokio::test]
async fn a_call_of_a_trace_is_a_child_of_its_caller_and_keeps_its_state() {
    let (tracer, mut spans) = tracer();
    let context = called_by(caller().sampled(true).with_state("a=1"));
    let inside = call(TracingLayer::client(&tracer), context, Code::Ok).await.unwrap();
    let span = only(&mut spans);
    assert_eq!(inside.as_ref(), Some(&span.trace));
    assert_eq!(span.trace.trace_id(), caller().trace_id());
    assert_eq!(span.parent, Some(caller().span_id()));
    assert_eq!((span.trace.state(), span.side), (Some("a=1"), Side::Client));
}

#[tokio::test]
async fn a_call_whose_caller_is_not_recorded_is_not_either_and_passes_on_where_that_is() {
    let (tracer, mut spans) = tracer();
    let inside = call(TracingLayer::server(&tracer), called_by(caller()), Code::Ok).await.unwrap();
    assert_eq!((inside, spans.take().len()), (Some(caller()), 0));
}

#[tokio::test]
async fn a_call_that_was_not_chosen_has_a_trace_all_the_same() {
    let never = Tracing::new("test").sampling(Sampling::never());
    let (tracer, mut spans) = never.tracer().unwrap();
    let inside = call(TracingLayer::server(&tracer), Context::new(), Code::Ok).await.unwrap();
    // What is called from here shall not decide otherwise.
    assert!(!inside.unwrap().is_sampled());
    assert_eq!(spans.take().len(), 0);
    tracer.handle().update(Sampling::always()).unwrap();
    call(TracingLayer::server(&tracer), Context::new(), Code::Ok).await.unwrap();
    assert_eq!(spans.take().len(), 1);
}

#[tokio::test]
async fn strangers_choose_neither_ids_nor_what_is_recorded() {
    let (tracer, mut spans) = tracer();
    let public = TracingLayer::server(&tracer).public();
    call(public, called_by(caller()), Code::Ok).await.unwrap();
    let span = only(&mut spans);
    assert_ne!(span.trace.trace_id(), caller().trace_id());
    assert_eq!((span.parent, span.link), (None, Some(caller())));
}

#[tokio::test]
async fn what_a_caller_leaves_undecided_is_decided_once() {
    for (sampling, recorded) in [(Sampling::always(), 2), (Sampling::never(), 0)] {
        let (tracer, mut spans) = Tracing::new("test").sampling(sampling).tracer().unwrap();
        let mut headers = http::HeaderMap::new();
        headers.insert("b3", "000000000000000a-000000000000000b".parse().unwrap());
        let b3 = Propagation::of(purlin_tracing::Format::B3);
        let context = b3.extract(&headers, Context::new()).unwrap();
        let twice = ServiceBuilder::new()
            .layer(TracingLayer::server(&tracer))
            .layer(TracingLayer::client(&tracer))
            .service(endpoint_fn(|context: Context, ()| async move {
                Ok::<_, Error>(context.trace().cloned())
            }));
        let inside = twice.invoke(context, ()).await.unwrap().unwrap();
        assert_eq!((spans.take().len(), inside.is_sampled()), (recorded, recorded > 0));
        assert_eq!(inside.trace_id().get(), 0xa);
    }
}

#[tokio::test]
async fn a_server_fails_by_its_own_fault_and_a_client_by_any() {
    let (tracer, mut spans) = tracer();
    for (code, server, client) in [
        (Code::InvalidArgument, false, true),
        (Code::NotFound, false, true),
        (Code::Internal, true, true),
        (Code::Unavailable, true, true),
    ] {
        call(TracingLayer::server(&tracer), Context::new(), code).await.unwrap_err();
        let span = only(&mut spans);
        assert_eq!(span.failed.as_deref(), server.then_some("the message"), "{code}");
        assert_eq!(text(&span, semconv::ERROR_TYPE), server.then(|| code.to_string()));
        call(TracingLayer::client(&tracer), Context::new(), code).await.unwrap_err();
        let span = only(&mut spans);
        assert_eq!(span.failed.as_deref(), client.then_some("the message"), "{code}");
        assert_eq!(text(&span, semconv::RPC_RESPONSE_STATUS_CODE), Some(code.to_string()));
        let [event] = &span.events[..] else { panic!("{:?}", span.events) };
        assert_eq!(event.name, semconv::EXCEPTION);
        let message = event.attribute(semconv::EXCEPTION_MESSAGE).unwrap();
        assert_eq!(message.to_string(), "the message: the cause");
    }
}

#[tokio::test]
async fn a_span_says_what_is_known_of_its_call() {
    let (tracer, mut spans) = tracer();
    let context = Context::new()
        .with_peer(Peer::Tcp("10.0.0.7:4711".parse().unwrap()))
        .with_request_id("abc".parse().unwrap())
        .with_attempt(2);
    let layer = TracingLayer::server(&tracer).attribute(semconv::RPC_SYSTEM_NAME, "grpc");
    call(layer, context, Code::Ok).await.unwrap();
    let span = only(&mut spans);
    let said: Vec<_> =
        span.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        said,
        [
            "rpc.method=greeter.Greeter/Greeting",
            "rpc.response.status_code=OK",
            "network.peer.address=10.0.0.7",
            "network.peer.port=4711",
            "http.request.resend_count=2",
            "purlin.request_id=abc",
            "rpc.system.name=grpc",
        ]
    );
}

#[tokio::test]
async fn what_layers_said_of_a_client_call_are_events_of_its_span() {
    let (tracer, mut spans) = tracer();
    let picking = || {
        endpoint_fn(|context: Context, ()| async move {
            context.notes().say("balancer", || "picked 10.0.0.7:9110 of 3".to_owned());
            Ok::<_, Error>(())
        })
    };
    let client = ServiceBuilder::new().layer(TracingLayer::client(&tracer)).service(picking());
    client.invoke(Context::new(), ()).await.unwrap();
    let [event] = &only(&mut spans).events[..] else { panic!("one event") };
    assert_eq!(event.attribute(semconv::NOTE_LAYER).unwrap().to_string(), "balancer");
    assert_eq!(
        event.attribute(semconv::NOTE_TEXT).unwrap().to_string(),
        "picked 10.0.0.7:9110 of 3"
    );

    // Where somebody further out reads them they are his.
    let notes = Notes::open();
    client.invoke(Context::new().with_notes(notes.clone()), ()).await.unwrap();
    assert_eq!(only(&mut spans).events, []);
    assert!(notes.read().iter().any(|note| note.layer == "balancer"));
    assert_eq!(notes.read()[0].layer, "tracing");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_one_span_to_its_end_whichever_side_ends_it() {
    for reads_all in [true, false] {
        let (tracer, mut spans) = tracer();
        let stream = ServiceBuilder::new().layer(TracingLayer::server(&tracer)).service(
            endpoint_fn(|_: Context, ()| async move {
                Ok::<_, Error>(Streaming::new(futures_util::stream::unfold(0, |n| async move {
                    // sleeps: time is paused.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    (n < 1000).then_some((Ok(n), n + 1))
                })))
            }),
        );
        let mut request = Request::new(Context::new().with_method(&GREETINGS), ());
        let ending = request.open_end();
        let mut answer = stream.oneshot(request).await.unwrap().ending(ending);
        for _ in 0..1000 {
            answer.message().await.unwrap().unwrap();
        }
        assert_eq!(spans.take().len(), 0);
        if reads_all {
            assert_eq!(answer.message().await.unwrap(), None);
        }
        drop(answer);
        let span = only(&mut spans);
        let took = span.ended.duration_since(span.started).unwrap();
        let code = if reads_all { "OK" } else { "CANCELLED" };
        assert_eq!(text(&span, semconv::RPC_RESPONSE_STATUS_CODE).as_deref(), Some(code));
        let (least, most) = (Duration::from_millis(2000), Duration::from_millis(2010));
        assert!((least..most).contains(&took), "{took:?}");
    }
}

#[tokio::test]
async fn a_panic_fails_the_span() {
    let (tracer, mut spans) = tracer();
    let panics = ServiceBuilder::new()
        .layer(CatchPanicLayer::new())
        .layer(TracingLayer::server(&tracer))
        .service(endpoint_fn(|_: Context, ()| async move {
            if true {
                panic!("on purpose");
            }
            Ok::<(), Error>(())
        }));
    panics.invoke(Context::new(), ()).await.unwrap_err();
    let span = only(&mut spans);
    assert_eq!(span.failed.as_deref(), Some("panicked"));
    assert_eq!(text(&span, semconv::ERROR_TYPE).as_deref(), Some("panic"));
}

#[tokio::test]
async fn a_call_that_was_given_up_is_cancelled_or_late() {
    let (tracer, mut spans) = tracer();
    let never = ServiceBuilder::new()
        .layer(TracingLayer::client(&tracer))
        .service(endpoint_fn(|_: Context, ()| std::future::pending::<Result<(), Error>>()));
    let late = Context::new().with_deadline(tokio::time::Instant::now());
    for (context, code) in [(Context::new(), "CANCELLED"), (late, "DEADLINE_EXCEEDED")] {
        let _ = tokio::time::timeout(Duration::ZERO, never.invoke(context, ())).await;
        let span = only(&mut spans);
        assert_eq!(text(&span, semconv::RPC_RESPONSE_STATUS_CODE).as_deref(), Some(code));
    }
}

#[test]
fn a_tracer_reads_its_configuration_and_refuses_nonsense() {
    for (wrong, field) in [
        (Tracing::new("a").queue(0), "queue"),
        (Tracing::new("a").batch(0), "batch"),
        (Tracing::new("a").interval(Duration::ZERO), "interval"),
        (Tracing::new("a").patience(Duration::ZERO), "patience"),
        (Tracing::new("a").sampling(Sampling::ratio(2.0)), "ratio"),
    ] {
        assert_eq!(wrong.tracer().unwrap_err().field, field);
    }
    #[cfg(feature = "serde")]
    {
        let text = r#"{"service":"a","sampling":{"ratio":0.5,"at_most":9.0},"interval":"250ms"}"#;
        let read: Tracing = serde_json::from_str(text).unwrap();
        let sampling = Sampling::ratio(0.5).at_most(9.0);
        let written = Tracing::new("a").sampling(sampling).interval(Duration::from_millis(250));
        assert_eq!(read, written);
        assert!(serde_json::from_str::<Tracing>(r#"{"servce":"a"}"#).is_err());
        let propagation: Propagation =
            serde_json::from_str(r#"["tracecontext","b3multi"]"#).unwrap();
        assert_eq!(propagation, "tracecontext,b3multi".parse().unwrap());
    }
}

#[test]
fn the_names_on_spans_are_those_in_the_golden_file() {
    let golden = include_str!("../../semconv.txt");
    let names: Vec<&str> = golden.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(names, semconv::ALL);
    assert!(golden.lines().any(|line| line.ends_with(semconv::VERSION)));
    assert!(semconv::SCHEMA_URL.ends_with(semconv::VERSION));
}
