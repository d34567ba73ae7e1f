//! Each parser of ours behind one function, for whoever has bytes: the replay of the corpora on
//! stable, and libFuzzer on nightly.
//!
//! The bytes reach a parser through what everybody calls: a router, a gRPC server, a client. What a
//! function asserts holds for any input.

mod auth;

use crate::{ECHO, Payload};
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use purlin_endpoint::{Code, Context, Endpoint as _, Error, Service as _, endpoint_fn};
use purlin_tracing::{Format, Propagation};
use purlin_transport_grpc::{Client as GrpcClient, decode_binary};
use purlin_transport_http::{Body, Client, Router, Server, client, decode, encode};
use std::convert::Infallible;

/// What a parser made of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It means something.
    Taken,
    /// It was refused, and that the right way.
    Refused,
    /// It can't get as far as the parser, as what no header can hold.
    Unsent,
}

/// A parser. It wants a runtime whose time is paused, as nothing here is to wait.
pub type Parser = fn(Vec<u8>) -> BoxFuture<'static, Reading>;

/// Each parser by the name of its corpus.
pub const ALL: &[(&str, Parser)] = &[
    ("authorization", |bytes| auth::authorization(bytes).boxed()),
    ("b3", |bytes| traces("b3", bytes).boxed()),
    ("baggage", |bytes| traces("baggage", bytes).boxed()),
    ("frames", |bytes| frames(bytes).boxed()),
    ("grpc-message", |bytes| grpc_message(bytes).boxed()),
    ("grpc-timeout", |bytes| grpc_timeout(bytes).boxed()),
    ("jwks", |bytes| auth::jwks(bytes).boxed()),
    ("metadata-bin", |bytes| metadata_bin(bytes).boxed()),
    ("percent", |bytes| percent(bytes).boxed()),
    ("policy", |bytes| auth::policy(bytes).boxed()),
    ("problem-json", |bytes| problem_json(bytes).boxed()),
    ("query", |bytes| query(bytes).boxed()),
    ("sse", |bytes| sse(bytes).boxed()),
    ("token", |bytes| auth::token(bytes).boxed()),
    ("traceparent", |bytes| traces("traceparent", bytes).boxed()),
    ("tracestate", |bytes| traces("tracestate", bytes).boxed()),
    ("x-request-timeout-ms", |bytes| http_timeout(bytes).boxed()),
];

/// The parser of this name.
pub fn named(name: &str) -> Option<Parser> {
    ALL.iter().find(|(known, _)| *known == name).map(|(_, parser)| *parser)
}

impl Reading {
    fn of(taken: bool) -> Self {
        if taken { Self::Taken } else { Self::Refused }
    }
}

#[derive(serde::Deserialize)]
struct Query {
    name: String,
    count: i32,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(serde::Deserialize)]
struct Segment {
    segment: String,
}

/// How a router answers a request: a success, or the caller's fault. It never blames the server,
/// but for a deadline that has passed.
async fn answered(mut router: Router, request: Request<Body>) -> Reading {
    let uri = request.uri().clone();
    let Ok::<_, Infallible>(response) = router.call(request).await;
    let status = response.status();
    let late = status == StatusCode::GATEWAY_TIMEOUT;
    assert!(!status.is_server_error() || late, "{status} for {uri}");
    Reading::of(status.is_success())
}

/// How gRPC answers a call: always with 200 and a status, and that is none of a panic.
async fn grpc_answered(request: http::request::Builder, body: Vec<u8>) -> Reading {
    let panicked = |_: &Context, error: &Error| {
        assert!(!format!("{error:#}").contains("panicked"), "{error:#}");
    };
    let request = request.header(CONTENT_TYPE, "application/grpc").body(Body::from(body));
    let Ok(response) = crate::grpc().error_handler(panicked).call(request.expect("valid")).await;
    assert_eq!(response.status(), StatusCode::OK);
    // What fails before its first message has its status in the head.
    Reading::of(!response.headers().contains_key("grpc-status"))
}

fn grpc() -> http::request::Builder {
    Request::post("/hostile.Hostile/Echo")
}

async fn frames(bytes: Vec<u8>) -> Reading {
    let plain = grpc_answered(grpc().header("grpc-encoding", "identity"), bytes.clone()).await;
    let packed = grpc_answered(grpc().header("grpc-encoding", "gzip"), bytes).await;
    Reading::of(plain == Reading::Taken || packed == Reading::Taken)
}

async fn grpc_timeout(bytes: Vec<u8>) -> Reading {
    let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Reading::Unsent };
    grpc_answered(grpc().header("grpc-timeout", value), vec![0; 5]).await
}

async fn http_timeout(bytes: Vec<u8>) -> Reading {
    let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Reading::Unsent };
    let nothing = endpoint_fn(async |_: Context, ()| Ok::<_, Error>("done"));
    let router = Router::new().get("/", Server::new(nothing, decode::no_request, encode::text));
    let request = Request::get("/").header("x-request-timeout-ms", value);
    answered(router, request.body(Body::empty()).expect("valid")).await
}

async fn metadata_bin(bytes: Vec<u8>) -> Reading {
    Reading::of(str::from_utf8(&bytes).ok().and_then(decode_binary).is_some())
}

async fn percent(bytes: Vec<u8>) -> Reading {
    let segment = endpoint_fn(async |_: Context, segment: Segment| Ok::<_, Error>(segment.segment));
    let segment = Server::new(segment, decode::path::<Segment>, encode::text);
    match get("/path/", &bytes) {
        Some(request) => answered(Router::new().get("/path/{segment}", segment), request).await,
        None => Reading::Unsent,
    }
}

fn get(prefix: &str, bytes: &[u8]) -> Option<Request<Body>> {
    let target = [prefix.as_bytes(), bytes].concat();
    Request::get(target.as_slice()).body(Body::empty()).ok()
}

/// A query, and a form, which may hold what no target can.
async fn query(bytes: Vec<u8>) -> Reading {
    let query = endpoint_fn(async |_: Context, query: Query| {
        Ok::<_, Error>(format!("{} {} {}", query.name, query.count, query.tags.len()))
    });
    let router = Router::new()
        .get("/query", Server::new(query, decode::query::<Query>, encode::text))
        .post("/form", Server::new(query, decode::form::<Query>, encode::text));
    if let Some(request) = get("/query?", &bytes) {
        answered(router.clone(), request).await;
    }
    let form = Request::post("/form").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    answered(router, form.body(Body::from(bytes)).expect("valid")).await
}

/// Always an error, for a problem that can't be read is one all the same. It counts as taken where
/// its code is not the status's own.
async fn problem_json(bytes: Vec<u8>) -> Reading {
    let answer = tower::service_fn(move |_: Request<Body>| {
        let response = Response::builder().status(418);
        let response = response.header(CONTENT_TYPE, "application/problem+json");
        let response = response.body(Body::from(bytes.clone())).expect("valid");
        async move { Ok::<_, Infallible>(response) }
    });
    let nothing = |_: &Context, _: &mut Request<Body>, (): ()| Ok(());
    let method = http::Method::GET;
    let client = Client::new(answer, method, "http://a/", nothing, client::decode::raw);
    let outcome = client.expect("an absolute URI").invoke(Context::new(), ()).await;
    let error = outcome.expect_err("a problem is an error");
    Reading::of(error.code() != Code::InvalidArgument)
}

async fn grpc_message(bytes: Vec<u8>) -> Reading {
    let Ok(message) = HeaderValue::from_bytes(&bytes) else { return Reading::Unsent };
    let answer = tower::service_fn(move |_: Request<_>| {
        let response = Response::builder().header(CONTENT_TYPE, "application/grpc");
        let response = response.header("grpc-status", "5").header("grpc-message", &message);
        let response = response.body(Body::empty()).expect("valid");
        async move { Ok::<_, Infallible>(response) }
    });
    let echo = GrpcClient::unary(answer, &ECHO, Ok::<Payload, Error>, Ok::<Payload, Error>);
    let error = echo.invoke(Context::new(), Payload::default()).await.expect_err("a status");
    assert_eq!(error.code(), Code::NotFound, "{error:#}");
    Reading::of(!error.message().is_empty())
}

/// What is read of a header, and written again, is read as the same.
async fn traces(name: &'static str, bytes: Vec<u8>) -> Reading {
    let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Reading::Unsent };
    let all = Propagation::w3c().and(Format::B3).and(Format::B3Multi);
    let mut headers = HeaderMap::new();
    if name == "tracestate" {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.insert("traceparent", HeaderValue::from_static(parent));
    }
    headers.insert(name, value);
    let read = all.extract(&headers, Context::new()).expect("never an error");
    let mut onward = HeaderMap::new();
    all.inject(&read, &mut onward).expect("never an error");
    let again = all.extract(&onward, Context::new()).expect("never an error");
    assert_eq!(again.trace(), read.trace());
    assert_eq!(again.baggage(), read.baggage());
    Reading::of(match name {
        "baggage" => !read.baggage().is_empty(),
        "tracestate" => read.trace().is_some_and(|trace| trace.state().is_some()),
        _ => read.trace().is_some(),
    })
}

async fn sse(bytes: Vec<u8>) -> Reading {
    let response = Response::builder().header(CONTENT_TYPE, "text/event-stream");
    let response = response.body(Body::from(bytes)).expect("valid");
    let mut events = client::decode::sse(response).await.expect("the type is right");
    let mut any = false;
    while let Some(event) = events.next().await {
        any |= event.is_ok();
    }
    Reading::of(any)
}
