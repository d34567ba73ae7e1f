//! Requests as no client of ours would make them, answered without a connection.

use crate::greeter::{self, GREET_MANY, GREETING, decode, encode};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, Full};
use prost::Message;
use purlin_endpoint::{Code, Context, Error, endpoint_fn};
use purlin_transport_grpc::Server;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tower::ServiceExt as _;

/// One message with its prefix.
pub(crate) fn framed(flag: u8, message: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(flag);
    out.put_u32(u32::try_from(message.len()).unwrap());
    out.put_slice(message);
    out.freeze()
}

fn ann() -> Bytes {
    framed(0, &greeter::name("Ann").encode_to_vec())
}

/// What came back: status, headers, bytes and trailers. Trailers that come alone are headers.
pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    data: Bytes,
    trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn code(&self) -> Code {
        let status = &self.trailers.as_ref().unwrap_or(&self.headers)["grpc-status"];
        Code::from_number(status.to_str().unwrap().parse().unwrap())
    }
}

pub(crate) fn post(path: &str) -> http::request::Builder {
    http::Request::post(path).header("content-type", "application/grpc").header("te", "trailers")
}

pub(crate) async fn send(server: Server, head: http::request::Builder, body: Bytes) -> Answer {
    let response = server.oneshot(head.body(Full::new(body)).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    Answer { status: parts.status, headers: parts.headers, data: body.to_bytes(), trailers }
}

const UNARY: &str = "/greeter.Greeter/Greeting";
const MANY: &str = "/greeter.Greeter/GreetMany";

#[tokio::test]
async fn a_call_is_answered_with_a_message_and_trailers() {
    let answer = send(greeter::server(), post(UNARY), ann()).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::OK, Code::Ok));
    assert_eq!(answer.headers["content-type"], "application/grpc");
    assert!(!answer.headers.contains_key("grpc-status"));
    assert_eq!(answer.headers["x-request-id"].len(), 32);
    let greeting = greeter::Greeting::decode(answer.data.slice(5..)).unwrap();
    assert_eq!(greeting.greeting, "Hello, Ann!");
}

#[tokio::test]
async fn an_error_comes_as_trailers_alone() {
    let answer = send(greeter::server(), post(UNARY), framed(0, b"")).await;
    assert_eq!(answer.code(), Code::InvalidArgument);
    assert!(answer.trailers.is_none() && answer.data.is_empty());
    assert_eq!(answer.headers["grpc-message"], "name is missing");
}

#[tokio::test]
async fn a_request_id_is_echoed_if_it_is_one_and_else_replaced() {
    let given = send(greeter::server(), post(UNARY).header("x-request-id", "a.b-1"), ann()).await;
    assert_eq!(given.headers["x-request-id"], "a.b-1");
    let odd = send(greeter::server(), post(UNARY).header("x-request-id", "a b\"c"), ann()).await;
    assert_eq!(odd.headers["x-request-id"].len(), 32);
    let server = greeter::server().request_id_name("x-call".parse().unwrap());
    let other = send(server, post(UNARY).header("x-call", "abc"), ann()).await;
    assert_eq!(other.headers["x-call"], "abc");
}

#[tokio::test]
async fn none_or_several_messages_where_one_belongs_are_unimplemented() {
    let two = Bytes::from([ann(), ann()].concat());
    for path in [UNARY, MANY] {
        for body in [Bytes::new(), two.clone()] {
            let answer = send(greeter::server(), post(path), body).await;
            assert_eq!(answer.code(), Code::Unimplemented, "{path}");
        }
    }
}

/// A server whose handler counts its calls.
fn counting() -> (Server, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let count = endpoint_fn(move |_: Context, name: String| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok::<_, Error>(name))
    });
    (Server::new().unary(&GREETING, count, decode, encode), calls)
}

#[tokio::test]
async fn a_malformed_timeout_is_internal_and_the_handler_does_not_run() {
    for timeout in ["", "5", "5s", "-5S", "123456789m", "5 S", "1.5S", "S"] {
        let (server, calls) = counting();
        let answer = send(server, post(UNARY).header("grpc-timeout", timeout), ann()).await;
        assert_eq!(answer.code(), Code::Internal, "{timeout:?}");
        assert_eq!(calls.load(Ordering::Relaxed), 0);
    }
    let (server, calls) = counting();
    let twice = post(UNARY).header("grpc-timeout", "5S").header("grpc-timeout", "5S");
    assert_eq!(send(server, twice, ann()).await.code(), Code::Internal);
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_call_that_has_expired_on_arrival_does_not_run() {
    let (server, calls) = counting();
    let answer = send(server, post(UNARY).header("grpc-timeout", "0m"), ann()).await;
    assert_eq!(answer.code(), Code::DeadlineExceeded);
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_is_not_grpc_is_415_with_a_text_unless_another_service_takes_it() {
    for kind in ["image/jpeg", "application/grpc-web", "application/grpcfoo"] {
        let head = http::Request::post(UNARY).header("content-type", kind);
        let answer = send(greeter::server(), head, Bytes::new()).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
        assert!(!answer.data.is_empty());
    }
    let page = tower::service_fn(async |_: http::Request<Full<Bytes>>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(Bytes::from("page"))))
    });
    let server = greeter::server().fallback(page);
    let request = http::Request::get("/").body(Full::default()).unwrap();
    let response = server.clone().oneshot(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "page");
    let request = post(UNARY).body(Full::new(ann())).unwrap();
    let response = server.oneshot(request).await.unwrap();
    assert_eq!(
        response.into_body().collect().await.unwrap().trailers().unwrap()["grpc-status"],
        "0"
    );
}

#[tokio::test]
async fn the_kinds_of_protobuf_over_grpc_are_taken_and_no_others() {
    for kind in ["application/grpc+proto", "application/grpc; charset=utf-8", "Application/GRPC"] {
        let head = http::Request::post(UNARY).header("content-type", kind);
        assert_eq!(send(greeter::server(), head, ann()).await.code(), Code::Ok, "{kind}");
    }
    let head = http::Request::post(UNARY).header("content-type", "application/grpc+json");
    let answer = send(greeter::server(), head, ann()).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_call_that_is_no_post_is_405() {
    let head = http::Request::delete(UNARY).header("content-type", "application/grpc");
    let answer = send(greeter::server(), head, ann()).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::METHOD_NOT_ALLOWED, Code::Internal));
    assert_eq!(answer.headers["allow"], "POST");
}

#[tokio::test]
async fn packing_that_was_not_agreed_on_is_refused() {
    let packed = |encoding| post(UNARY).header("grpc-encoding", encoding);
    let answer = send(greeter::server(), packed("foo"), ann()).await;
    assert_eq!(answer.code(), Code::Unimplemented);
    let answer = send(greeter::server().gzip(true), packed("foo"), ann()).await;
    assert_eq!(answer.code(), Code::Unimplemented);
    assert_eq!(answer.headers["grpc-accept-encoding"], "gzip");
    let flagged = framed(1, b"whatever");
    let answer = send(greeter::server(), packed("identity"), flagged.clone()).await;
    assert_eq!(answer.code(), Code::Internal);
    let answer = send(greeter::server().gzip(true), packed("gzip"), flagged).await;
    assert_eq!(answer.code(), Code::Internal);
}

#[tokio::test]
async fn a_bomb_is_stopped_at_the_limit() {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; 64 << 20]).unwrap();
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let head = post(UNARY).header("grpc-encoding", "gzip");
    let answer = send(greeter::server().gzip(true), head, framed(1, &bomb)).await;
    assert_eq!(answer.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn only_long_messages_are_packed_unless_asked() {
    let head = || post(UNARY).header("grpc-accept-encoding", "identity,gzip");
    let short = send(greeter::server().gzip(true), head(), ann()).await;
    assert_eq!((&short.headers["grpc-encoding"], short.data[0]), (&"gzip".parse().unwrap(), 0));
    let asked = send(greeter::server().gzip(true).gzip_from(0), head(), ann()).await;
    assert_eq!(asked.data[0], 1);
    let not_accepted = send(greeter::server().gzip(true).gzip_from(0), post(UNARY), ann()).await;
    assert!(!not_accepted.headers.contains_key("grpc-encoding"));
    assert_eq!(not_accepted.data[0], 0);
}

#[tokio::test]
async fn what_a_handler_writes_comes_as_headers_and_trailers() {
    let write = endpoint_fn(async |context: Context, name: String| {
        context.reply().header("x-head", "1");
        context.reply().header("grpc-status", "0");
        context.reply().trailer("x-tail-bin", purlin_transport_grpc::encode_binary(&[0xab; 3]));
        context.reply().trailer("x-odd-bin", "!");
        if name == "Ann" { Err(Error::new(Code::NotFound, "no Ann")) } else { Ok(name) }
    });
    let server = Server::new().unary(&GREETING, write, decode, encode);
    let failed = send(server.clone(), post(UNARY), ann()).await;
    assert_eq!((&failed.headers["x-head"], failed.code()), (&"1".parse().unwrap(), Code::NotFound));
    let trailers = failed.trailers.unwrap();
    assert_eq!(
        (&trailers["x-tail-bin"], &trailers["grpc-message"]),
        (&"q6ur".parse().unwrap(), &"no Ann".parse().unwrap())
    );
    let bob = framed(0, &greeter::name("Bob").encode_to_vec());
    let went_well = send(server, post(UNARY), bob).await;
    assert_eq!(went_well.headers["x-head"], "1");
    let trailers = went_well.trailers.unwrap();
    assert_eq!((&trailers["x-tail-bin"], trailers.len()), (&"q6ur".parse().unwrap(), 2));
}

#[tokio::test]
async fn before_error_handler_and_finalizer_see_what_they_should() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let see = |text: &'static str| {
        let seen = seen.clone();
        move |code: Code| seen.lock().unwrap().push(format!("{text} {code}"))
    };
    let (handled, finalized) = (see("error"), see("final"));
    let server = greeter::server()
        .before(|context, metadata| match metadata.contains_key("x-no") {
            true => Err(Error::of(Code::PermissionDenied)),
            false => Ok(context),
        })
        .error_handler(move |_, error| handled(error.code()))
        .finalizer(move |_, code| finalized(code));
    let _ = send(server.clone(), post(UNARY), ann()).await;
    let denied = send(server.clone(), post(UNARY).header("x-no", "1"), ann()).await;
    assert_eq!(denied.code(), Code::PermissionDenied);
    let _ = send(server.clone(), post(MANY), ann()).await;
    let _ = send(server.clone(), post("/greeter.Greeter/None"), ann()).await;
    // A caller that goes away before the stream has ended.
    let request = post(MANY).body(Full::new(ann())).unwrap();
    drop(server.oneshot(request).await.unwrap());
    let expected = [
        "final OK",
        "error PERMISSION_DENIED",
        "final PERMISSION_DENIED",
        "final OK",
        "error UNIMPLEMENTED",
        "final UNIMPLEMENTED",
        "final CANCELLED",
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
    assert!(GREET_MANY.streams_response());
}
