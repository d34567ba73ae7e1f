//! The committed corpus of each parser, replayed through what everybody calls: each entry as it is,
//! cut off at each byte, and with each byte changed.

use futures_util::StreamExt as _;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use purlin_endpoint::{Context, Endpoint as _, Error, Service as _, endpoint_fn};
use purlin_hostile::{ECHO, Payload, both};
use purlin_transport_grpc::{Client as GrpcClient, Server as GrpcServer, decode_binary};
use purlin_transport_http::{Body, Client, Router, Server, client, decode, encode};
use std::{convert::Infallible, fs, path::Path};

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

/// All inputs for a parser: what is committed, and its neighbours.
fn inputs(parser: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(parser);
    let mut inputs = Vec::new();
    for entry in fs::read_dir(folder).expect("each parser has a folder") {
        let entry = fs::read(entry.expect("it can be read").path()).expect("it can be read");
        for at in 0..entry.len().min(256) {
            inputs.push(entry[..at].to_vec());
            for bit in [0x01, 0x20, 0x80] {
                let mut changed = entry.clone();
                changed[at] ^= bit;
                inputs.push(changed);
            }
        }
        inputs.push(entry);
    }
    assert!(inputs.len() >= 50, "{parser} has a corpus");
    inputs
}

/// The inputs that a header can have.
fn values(parser: &str) -> impl Iterator<Item = HeaderValue> {
    inputs(parser).into_iter().filter_map(|bytes| HeaderValue::from_bytes(&bytes).ok())
}

/// The statuses that a router answers these requests with. None of them blames the server, but for
/// a deadline that has passed.
async fn answers(mut router: Router, requests: impl Iterator<Item = Request<Body>>) -> [u32; 2] {
    let mut counts = [0; 2];
    for request in requests {
        let uri = request.uri().clone();
        let Ok::<_, Infallible>(response) = router.call(request).await;
        let status = response.status();
        let late = status == StatusCode::GATEWAY_TIMEOUT;
        assert!(!status.is_server_error() || late, "{status} for {uri}");
        counts[usize::from(!status.is_success())] += 1;
    }
    counts
}

/// Calls gRPC, which answers everything with a status that is none of a panic.
async fn grpc_answers(requests: impl Iterator<Item = Request<Body>>) -> u32 {
    let panicked = |_: &Context, error: &Error| {
        assert!(!format!("{error:#}").contains("panicked"), "{error:#}");
    };
    let mut server: GrpcServer<Router> = both().error_handler(panicked);
    let mut count = 0;
    for request in requests {
        let response = server.call(request).await.expect("a server never fails");
        assert_eq!(response.status(), 200);
        count += 1;
    }
    count
}

fn grpc() -> http::request::Builder {
    Request::post("/hostile.Hostile/Echo").header(CONTENT_TYPE, "application/grpc")
}

#[tokio::test(start_paused = true)]
async fn no_header_query_or_segment_is_the_servers_fault() {
    let timeouts = values("x-request-timeout-ms").map(|value| {
        Request::get("/").header("x-request-timeout-ms", value).body(Body::empty()).expect("valid")
    });
    let [taken, refused] = answers(purlin_hostile::echo(), timeouts).await;
    assert!(taken > 0 && refused > 0);

    let query = endpoint_fn(async |_: Context, query: Query| {
        Ok::<_, Error>(format!("{} {} {}", query.name, query.count, query.tags.len()))
    });
    let segment = endpoint_fn(async |_: Context, segment: Segment| Ok::<_, Error>(segment.segment));
    let router = Router::new()
        .get("/query", Server::new(query, decode::query::<Query>, encode::text))
        .post("/form", Server::new(query, decode::form::<Query>, encode::text))
        .get("/path/{segment}", Server::new(segment, decode::path::<Segment>, encode::text));
    let get = |prefix: &'static str| {
        move |bytes: Vec<u8>| {
            let target = [prefix.as_bytes(), &bytes].concat();
            Request::get(target.as_slice()).body(Body::empty()).ok()
        }
    };
    let queries = inputs("query").into_iter().filter_map(get("/query?"));
    let segments = inputs("percent").into_iter().filter_map(get("/path/"));
    let forms = inputs("query").into_iter().filter_map(|bytes| {
        let form = Request::post("/form").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        form.body(Body::from(bytes)).ok()
    });
    for [taken, refused] in [
        answers(router.clone(), queries).await,
        answers(router.clone(), segments).await,
        answers(router, forms).await,
    ] {
        assert!(taken > 0 && refused > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn no_timeout_or_frame_makes_grpc_panic() {
    let timeouts = values("grpc-timeout").map(|value| {
        let call = grpc().header("grpc-timeout", value);
        call.body(Body::from(vec![0; 5])).expect("valid")
    });
    assert!(grpc_answers(timeouts).await > 50);
    let plain = inputs("frames").into_iter().map(|bytes| (bytes, "identity"));
    let packed = inputs("frames").into_iter().map(|bytes| (bytes, "gzip"));
    let frames = plain.chain(packed).map(|(bytes, packing)| {
        grpc().header("grpc-encoding", packing).body(Body::from(bytes)).expect("valid")
    });
    assert!(grpc_answers(frames).await > 100);
    let decodes = |bytes: &Vec<u8>| str::from_utf8(bytes).ok().and_then(decode_binary).is_some();
    let (decoded, refused): (Vec<_>, Vec<_>) =
        inputs("metadata-bin").iter().map(decodes).partition(|is| *is);
    assert!(!decoded.is_empty() && !refused.is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_answer_makes_a_client_panic() {
    for bytes in inputs("problem-json") {
        let answer = tower::service_fn(move |_: Request<Body>| {
            let response = Response::builder().status(418);
            let response = response.header(CONTENT_TYPE, "application/problem+json");
            let response = response.body(Body::from(bytes.clone())).expect("valid");
            async move { Ok::<_, Infallible>(response) }
        });
        let nothing = |_: &Context, _: &mut Request<Body>, (): ()| Ok(());
        let method = http::Method::GET;
        let client = Client::new(answer, method, "http://a/", nothing, client::decode::raw);
        let client = client.expect("an absolute URI");
        client.invoke(Context::new(), ()).await.expect_err("a problem is an error");
    }
    for message in values("grpc-message") {
        let answer = tower::service_fn(move |_: Request<_>| {
            let response = Response::builder().header(CONTENT_TYPE, "application/grpc");
            let response = response.header("grpc-status", "5").header("grpc-message", &message);
            let response = response.body(Body::empty()).expect("valid");
            async move { Ok::<_, Infallible>(response) }
        });
        let echo = GrpcClient::unary(answer, &ECHO, Ok::<Payload, Error>, Ok::<Payload, Error>);
        let error = echo.invoke(Context::new(), Payload::default()).await.expect_err("a status");
        assert_eq!(error.code(), purlin_endpoint::Code::NotFound, "{error:#}");
    }
    let mut events = 0;
    for bytes in inputs("sse") {
        let response = Response::builder().header(CONTENT_TYPE, "text/event-stream");
        let response = response.body(Body::from(bytes)).expect("valid");
        let mut read = client::decode::sse(response).await.expect("the type is right");
        while let Some(event) = read.next().await {
            events += u32::from(event.is_ok());
        }
    }
    assert!(events > 50, "{events} events");
}
