//! Traces over both transports: their attempts, and what a hostile caller can do to them.

use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Request};
use purlin_endpoint::{
    Code, Context, Endpoint as _, Error, Layer as _, Method, MethodLayer, Service as _, SpanId,
    Streaming, endpoint_fn,
};
use purlin_hostile::{ECHO, Payload};
use purlin_retry::{Hedge, Retry};
use purlin_tracing::{Format, Propagation, Side, Span, Tracer, Tracing, TracingLayer, semconv};
use purlin_transport_grpc::{Client as GrpcClient, Server as GrpcServer};
use purlin_transport_http::{Body, Client, Router, Server, client, decode, encode};
use std::{collections::BTreeSet, time::Duration};
use tower::ServiceBuilder;

static FIND: Method = Method::unary("library.Library", "Find").idempotent();

fn all() -> Propagation {
    Propagation::w3c().and(Format::B3).and(Format::B3Multi)
}

/// A server whose first two attempts fail, or never end.
fn library(tracer: &Tracer, hangs: bool) -> Router {
    let find = endpoint_fn(move |context: Context, ()| async move {
        match context.attempt() {
            0 if hangs => std::future::pending().await,
            0 | 1 if !hangs => Err(Error::of(Code::Unavailable)),
            _ => Ok::<_, Error>("found"),
        }
    });
    let find = TracingLayer::server(tracer).layer(find);
    let find = Server::new(find, decode::no_request, encode::text).method(&FIND);
    let traces = all();
    Router::new().get("/", find.before(move |context, head| traces.extract(&head.headers, context)))
}

/// A client of that server, which repeats calls in this way, with a span of each call and of each of
/// its attempts.
macro_rules! client {
    ($tracer:expr, $repeat:expr, $hangs:expr) => {{
        let nothing = |_: &Context, _: &mut Request<Body>, (): ()| Ok(());
        let library = library($tracer, $hangs);
        let client =
            Client::new(library, http::Method::GET, "http://a/", nothing, client::decode::raw);
        let traces = all();
        let client =
            client.unwrap().before(move |context, head| traces.inject(context, &mut head.headers));
        ServiceBuilder::new()
            .layer(MethodLayer::new(&FIND))
            .layer(TracingLayer::client($tracer))
            .layer($repeat)
            .layer(TracingLayer::client($tracer))
            .service(client)
    }};
}

#[tokio::test(start_paused = true)]
async fn each_attempt_of_a_call_that_is_repeated_is_a_child_of_the_call() {
    let (tracer, mut spans) = Tracing::new("test").tracer().unwrap();
    let find = client!(&tracer, Retry::attempts(3).layer().unwrap(), false);
    find.invoke(Context::new(), ()).await.unwrap();
    let spans = spans.take();
    check(&spans, 3);
    let failed: Vec<bool> = spans
        .iter()
        .filter(|span| span.side == Side::Client)
        .map(|span| span.failed.is_some())
        .collect();
    assert_eq!(failed, [true, true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_beside_another_is_its_sibling_and_the_one_that_lost_is_cancelled() {
    let (tracer, mut spans) = Tracing::new("test").tracer().unwrap();
    let hedge = Hedge::after(Duration::from_millis(50)).layer().unwrap();
    let find = client!(&tracer, hedge, true);
    find.invoke(Context::new(), ()).await.unwrap();
    let spans = spans.take();
    check(&spans, 2);
    let code = |span: &Span| span.attribute(semconv::RPC_RESPONSE_STATUS_CODE).unwrap().to_string();
    let lost: Vec<String> = spans.iter().map(code).filter(|code| code != "OK").collect();
    assert_eq!(lost, ["CANCELLED", "CANCELLED"]);
}

#[tokio::test]
async fn a_trace_goes_through_grpc_with_its_baggage() {
    let (tracer, mut spans) = Tracing::new("test").tracer().unwrap();
    let echo = endpoint_fn(async |context: Context, _: Payload| {
        let tenant = context.baggage().get("tenant").unwrap_or_default().to_owned();
        Ok::<_, Error>(Payload { bytes: tenant.into() })
    });
    let echo = TracingLayer::server(&tracer).layer(echo);
    let (read, write) = (all(), all());
    let server = GrpcServer::new()
        .unary(&ECHO, echo, Ok::<Payload, Error>, Ok::<Payload, Error>)
        .before(move |context, metadata| read.extract(metadata, context));
    let client = GrpcClient::unary(server, &ECHO, Ok::<Payload, Error>, Ok::<Payload, Error>)
        .before(move |context, metadata| write.inject(context, metadata));
    let client = TracingLayer::client(&tracer).layer(client);
    let baggage = purlin_endpoint::Baggage::default().with("tenant", "äcme, inc");
    let context = Context::new().with_method(&ECHO).with_baggage(baggage);
    let answer = client.invoke(context, Payload::default()).await.unwrap();
    assert_eq!(answer.bytes, "äcme, inc");
    let [server, client] = &spans.take()[..] else { panic!("two spans") };
    assert_eq!(server.parent, Some(client.trace.span_id()));
    assert_eq!((&*server.name, &*client.name), ("hostile.Hostile/Echo", "hostile.Hostile/Echo"));
}

/// How the spans of attempts hang together.
fn check(spans: &[Span], attempts: usize) {
    let calls: Vec<&Span> = spans.iter().filter(|span| span.parent.is_none()).collect();
    let [call] = calls[..] else { panic!("{spans:?}") };
    assert_eq!(call.side, Side::Client);
    let children = |of: SpanId| spans.iter().filter(move |span| span.parent == Some(of));
    let made: Vec<&Span> = children(call.trace.span_id()).collect();
    assert_eq!(made.len(), attempts, "{spans:?}");
    let number =
        |span: &Span| span.attribute(semconv::HTTP_REQUEST_RESEND_COUNT).map(ToString::to_string);
    let numbers: BTreeSet<_> = made.iter().map(|span| number(span)).collect();
    let wanted = (0..attempts).map(|number| (number > 0).then(|| number.to_string()));
    assert_eq!(numbers, wanted.collect());
    for attempt in made {
        assert_eq!(attempt.side, Side::Client);
        let servers: Vec<&Span> = children(attempt.trace.span_id()).collect();
        let [server] = servers[..] else { panic!("{servers:?}") };
        assert_eq!((server.side, number(server)), (Side::Server, number(attempt)));
        assert_eq!(server.name, "library.Library/Find");
    }
    assert!(spans.iter().all(|span| span.trace.trace_id() == call.trace.trace_id()));
}

/// A client of a server whose stream takes two seconds.
#[tokio::test(start_paused = true)]
async fn a_stream_is_one_span_of_its_whole_length_on_both_sides_whichever_ends_it() {
    static STREAM: Method = Method::server_streaming("library.Library", "Stream");
    for reads_all in [true, false] {
        let (tracer, mut spans) = Tracing::new("test").tracer().unwrap();
        let thousand = endpoint_fn(async |_: Context, payload: Payload| {
            let messages = futures_util::stream::iter(0..1000).then(move |_| {
                let payload = payload.clone();
                async move {
                    // sleeps: time is paused.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    Ok(payload)
                }
            });
            Ok::<_, Error>(Streaming::new(messages))
        });
        let thousand = TracingLayer::server(&tracer).layer(thousand);
        let (decode, encode) = (Ok::<Payload, Error>, Ok::<Payload, Error>);
        let server = GrpcServer::new().server_streaming(&STREAM, thousand, decode, encode);
        let client = GrpcClient::server_streaming(server, &STREAM, encode, decode);
        let client = ServiceBuilder::new()
            .layer(MethodLayer::new(&STREAM))
            .layer(TracingLayer::client(&tracer))
            .service(client);
        let mut messages = client.invoke(Context::new(), Payload::default()).await.unwrap();
        for _ in 0..1000 {
            messages.message().await.unwrap().unwrap();
        }
        assert_eq!(spans.take().len(), 0);
        if reads_all {
            assert_eq!(messages.message().await.unwrap(), None);
        }
        drop(messages);
        let spans = spans.take();
        assert_eq!(spans.len(), 2, "{spans:?}");
        for span in spans {
            let took = span.ended.duration_since(span.started).unwrap();
            let (least, most) = (Duration::from_millis(2000), Duration::from_millis(2010));
            assert!((least..most).contains(&took), "{took:?}");
            let code = span.attribute(semconv::RPC_RESPONSE_STATUS_CODE).unwrap().to_string();
            assert_eq!(code, if reads_all { "OK" } else { "CANCELLED" });
        }
    }
}

/// What a header may hold and a parser may not take as it is.
const NASTY: [&[u8]; 9] = [
    b"",
    b"00-00000000000000000000000000000000-0000000000000000-00",
    b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\t",
    b"\xff\xfe\xfd",
    b"a=%1b%5b2J%0d%0aset-cookie:%20a",
    b"a=\xe2\x80\xae,b=1",
    b"0-0-0-0",
    b"{\"level\":\"error\"} level=error",
    b"%%%%,;;==",
];

#[tokio::test]
async fn no_request_adds_a_name_or_reaches_a_span_as_it_is() {
    let (tracer, mut spans) = Tracing::new("test").tracer().unwrap();
    let mut router = library(&tracer, false);
    let mut rng = fastrand::Rng::with_seed(11);
    let mut names = BTreeSet::new();
    for _ in 0..5_000 {
        let mut request = Request::get(format!("/?{}", rng.u64(..)));
        for _ in 0..rng.usize(..4) {
            let header = [
                "traceparent",
                "tracestate",
                "baggage",
                "b3",
                "x-b3-traceid",
                "x-b3-spanid",
                "x-request-id",
                "user-agent",
                "x-previous-attempts",
            ];
            let mut value = NASTY[rng.usize(..NASTY.len())].to_vec();
            if rng.u8(..8) == 0 {
                value = vec![b'a' + rng.u8(..26); 10 * 1024];
            }
            if rng.bool() && !value.is_empty() {
                let at = rng.usize(..value.len());
                value[at] = rng.u8(..);
            }
            let Ok(value) = HeaderValue::from_bytes(&value) else { continue };
            request = request.header(header[rng.usize(..header.len())], value);
        }
        let _ = router.call(request.body(Body::empty()).unwrap()).await.unwrap();
        for span in spans.take() {
            names.insert(span.name.clone().into_owned());
            let said =
                span.attributes.iter().chain(span.events.iter().flat_map(|it| &it.attributes));
            for (_, value) in said {
                let value = value.to_string();
                assert!(!value.chars().any(char::is_control), "{value:?}");
                assert!(value.len() <= 4096, "{} bytes", value.len());
            }
            let state = span.trace.state().unwrap_or_default();
            assert!(state.len() <= 512 && state.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            let mut onward = HeaderMap::new();
            all().inject(&Context::new().with_trace(span.trace), &mut onward).unwrap();
            assert!(onward.contains_key("traceparent"));
        }
    }
    assert_eq!(names, BTreeSet::from(["library.Library/Find".to_owned()]));
}
