//! One stack of layers for methods of all kinds, and what its guards learn.

use crate::{
    greeter::{
        self, CHAT, GREET_ALL, GREET_MANY, GREETING, Greeting, decode, encode, from_greeting, name,
        to_name,
    },
    own_client::{all, pipe},
    raw,
};
use http::uri::PathAndQuery;
use prost::Message as _;
use purlin_endpoint::{
    Call, Code, Context, End, Endpoint, Error, Guard, How, Intercept, InterceptLayer, Layer as _,
    Method, MethodLayer, Observes, Streaming, endpoint_fn,
};
use purlin_transport_grpc::{Client, Server};
use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tonic::{client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

type Lines = Arc<Mutex<Vec<String>>>;

/// Writes a line at the end of each call.
struct Journal(Lines);

struct Entry(Lines, Option<&'static Method>, &'static str);

impl<Req: Call> Intercept<Req> for Journal {
    type Guard = Entry;
    type Refusal = Infallible;

    fn before(self: &Arc<Self>, request: &mut Req) -> Result<Entry, Infallible> {
        Ok(Entry(self.0.clone(), request.context().method(), "nothing"))
    }
}

impl<Res, Err> Guard<Res, Err> for Entry {
    fn response(&mut self, outcome: &mut Result<Res, Err>) {
        self.2 = if outcome.is_ok() { "ok" } else { "error" };
    }

    fn end(self, end: End<'_>) {
        let how = match end.how() {
            How::Returned => "returned".to_owned(),
            How::Streamed(Ok(())) => "streamed".to_owned(),
            How::Streamed(Err(error)) => format!("broke off: {}", error.code()),
            How::Dropped => "dropped".to_owned(),
            How::Panicked => "panicked".to_owned(),
        };
        let method = self.1.map_or("?", Method::name);
        self.0.lock().unwrap().push(format!("{method} {} {how}", self.2));
    }
}

fn journal() -> (InterceptLayer<Journal, Observes>, Lines) {
    let lines = Lines::default();
    (InterceptLayer::observer(Journal(lines.clone())), lines)
}

fn taken(lines: &Lines) -> Vec<String> {
    std::mem::take(&mut *lines.lock().unwrap())
}

/// The layers that all methods share.
fn observed<Req: Send + 'static, S>(
    layer: &InterceptLayer<Journal, Observes>,
    inner: S,
) -> impl Endpoint<Req, Response = S::Response, Error = Error> + use<Req, S>
where
    S: Endpoint<Req, Error = Error>,
{
    layer.layer(inner)
}

fn ann() -> bytes::Bytes {
    raw::framed(0, &name("Ann").encode_to_vec())
}

#[tokio::test]
async fn one_stack_serves_methods_of_all_kinds() {
    let (layer, lines) = journal();
    let whole = endpoint_fn(async |_: Context, name: String| Ok::<_, Error>(name));
    let many = endpoint_fn(async |_: Context, name: String| {
        Ok::<_, Error>(Streaming::iter([Ok(name), Err(Error::of(Code::Aborted))]))
    });
    let first = endpoint_fn(async |_: Context, mut names: Streaming<String>| {
        Ok::<_, Error>(names.message().await?.unwrap_or_default())
    });
    let echo = endpoint_fn(async |_: Context, names: Streaming<String>| Ok::<_, Error>(names));
    let server = Server::new()
        .unary(&GREETING, observed(&layer, whole), decode, encode)
        .server_streaming(&GREET_MANY, observed(&layer, many), decode, encode)
        .client_streaming(&GREET_ALL, observed(&layer, first), decode, encode)
        .bidirectional(&CHAT, observed(&layer, echo), decode, encode);
    for method in ["Greeting", "GreetMany", "GreetAll", "Chat"] {
        let head = raw::post(&format!("/greeter.Greeter/{method}"));
        let _ = raw::send(server.clone(), head, ann()).await;
    }
    let expected = [
        "Greeting ok returned",
        "GreetMany ok broke off: ABORTED",
        "GreetAll ok returned",
        "Chat ok streamed",
    ];
    assert_eq!(taken(&lines), expected);
}

#[tokio::test]
async fn a_streams_guard_waits_for_its_last_message_on_both_sides() {
    let (layer, lines) = journal();
    let (client_layer, client_lines) = journal();
    let many = endpoint_fn(async |_: Context, name: String| {
        Ok::<_, Error>(Streaming::iter([Ok(name.clone()), Ok(name)]))
    });
    let server =
        Server::new().server_streaming(&GREET_MANY, observed(&layer, many), decode, encode);
    let client = Client::server_streaming(pipe(server), &GREET_MANY, to_name, from_greeting);
    let client = MethodLayer::new(&GREET_MANY).layer(client_layer.layer(client));
    let stream = client.invoke(Context::new(), "Ann".to_owned()).await.unwrap();
    assert_eq!(taken(&client_lines), [""; 0]);
    assert_eq!(all(stream).await.unwrap().len(), 2);
    assert_eq!(taken(&client_lines), ["GreetMany ok streamed"]);
    assert_eq!(taken(&lines), ["GreetMany ok streamed"]);

    drop(client.invoke(Context::new(), "Ann".to_owned()).await.unwrap());
    assert_eq!(taken(&client_lines), ["GreetMany ok dropped"]);
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_guards_learn_of_it() {
    fn panicking(_: Context, _: String) -> std::future::Ready<Result<String, Error>> {
        panic!("the password is swordfish")
    }
    struct Panics;
    impl Iterator for Panics {
        type Item = Result<String, Error>;
        fn next(&mut self) -> Option<Self::Item> {
            panic!("the password is swordfish")
        }
    }
    let (layer, lines) = journal();
    let unary = endpoint_fn(panicking);
    let many = endpoint_fn(async |_: Context, _: String| {
        let greetings = [Ok("Hello".to_owned())].into_iter().chain(Panics);
        Ok::<_, Error>(Streaming::iter(greetings))
    });
    let server = Server::new()
        .unary(&GREETING, observed(&layer, unary), decode, encode)
        .server_streaming(&GREET_MANY, observed(&layer, many), decode, encode);
    let channel = pipe(server);
    let unary = Client::unary(channel.clone(), &GREETING, to_name, from_greeting);
    let many = Client::server_streaming(channel, &GREET_MANY, to_name, from_greeting);
    // More than once, so that the connection's own endpoint has panicked before.
    for _ in 0..3 {
        let error = unary.invoke(Context::new(), "Ann".to_owned()).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::Internal, "internal error"));
        let mut stream = many.invoke(Context::new(), "Ann".to_owned()).await.unwrap();
        assert_eq!(stream.message().await.unwrap().unwrap(), "Hello");
        let error = stream.message().await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::Internal, "internal error"));
        assert_eq!(taken(&lines), ["Greeting nothing panicked", "GreetMany ok panicked"]);
    }
}

#[tokio::test]
async fn a_panic_in_a_function_around_the_call_is_an_internal_error() {
    let server = || greeter::server();
    let post = || raw::post("/greeter.Greeter/Greeting");
    let servers = [
        server().before(|_, _| panic!("before")),
        server().after(|_, _, _| panic!("after")),
        Server::new().unary(
            &GREETING,
            endpoint_fn(greeter::greet),
            |_: greeter::Name| panic!("decode"),
            encode,
        ),
        Server::new().unary(
            &GREETING,
            endpoint_fn(greeter::greet),
            decode,
            |_| -> Result<Greeting, Error> { panic!("encode") },
        ),
    ];
    for server in servers {
        assert_eq!(raw::send(server, post(), ann()).await.code(), Code::Internal);
    }
    let server = server().finalizer(|_, _| panic!("finalizer"));
    assert_eq!(raw::send(server, post(), ann()).await.code(), Code::Ok);
}

/// Lets so many calls through.
struct Few(AtomicUsize);

#[derive(Debug)]
struct Limited;

impl<Req> Intercept<Req> for Few {
    type Guard = ();
    type Refusal = Limited;

    fn before(self: &Arc<Self>, _: &mut Req) -> Result<(), Limited> {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        left.map(|_| ()).map_err(|_| Limited)
    }
}

impl From<Limited> for Error {
    fn from(_: Limited) -> Self {
        Error::of(Code::ResourceExhausted).retry_after(Duration::from_secs(1))
    }
}

fn few(calls: usize) -> InterceptLayer<Few> {
    InterceptLayer::new(Few(AtomicUsize::new(calls)))
}

#[tokio::test]
async fn a_layer_stands_around_a_foreign_channel_without_a_change_of_error() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = purlin_serve::Server::new();
    tokio::spawn(serving.serve(listener, greeter::server(), std::future::pending::<()>()));

    let channel: Channel =
        Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let limited = few(1).respond(purlin_transport_grpc::to_status).layer(channel);

    let mut grpc = Grpc::new(limited);
    let path = PathAndQuery::from_static("/greeter.Greeter/Greeting");
    let mut codes = Vec::new();
    for _ in 0..2 {
        grpc.ready().await.unwrap();
        let codec = ProstCodec::<greeter::Name, Greeting>::default();
        let reply = grpc.unary(tonic::Request::new(name("Ann")), path.clone(), codec).await;
        codes.push(reply.map_or_else(|status| status.code(), |_| tonic::Code::Ok));
    }
    assert_eq!(codes, [tonic::Code::Ok, tonic::Code::ResourceExhausted]);
}

#[tokio::test]
async fn the_same_layer_refuses_an_endpoint_of_ours_with_an_error() {
    let limited = few(1).layer(endpoint_fn(greeter::greet));
    let server = Server::new().unary(&GREETING, limited, decode, encode);
    let client = Client::unary(pipe(server), &GREETING, to_name, from_greeting);
    assert!(client.invoke(Context::new(), "Ann".to_owned()).await.is_ok());
    let error = client.invoke(Context::new(), "Ann".to_owned()).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert_eq!(error.retry_delay(), Some(Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_until_its_endpoint_is_ready() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let slow = endpoint_fn(move |_: Context, name: String| {
        let (running, most) = (running.clone(), most.clone());
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // sleeps: time is paused here, and passes by itself.
            tokio::time::sleep(Duration::from_millis(10)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Error>(name)
        }
    });
    let two_at_once = tower::limit::ConcurrencyLimit::new(slow, 2);
    let server = Server::new().unary(&GREETING, two_at_once, decode, encode);
    let client = Client::unary(pipe(server), &GREETING, to_name, from_greeting);
    let calls: Vec<_> =
        (0..20).map(|_| tokio::spawn(client.invoke(Context::new(), "Ann".to_owned()))).collect();
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn grpc_and_http_share_a_port() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let page = tower::service_fn(async |_: http::Request<hyper::body::Incoming>| {
        let page = http_body_util::Full::new(bytes::Bytes::from("the page"));
        Ok::<_, Infallible>(http::Response::new(page))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = greeter::server().fallback(page);
    let serving = purlin_serve::Server::new();
    tokio::spawn(serving.serve(listener, server, std::future::pending::<()>()));

    let channel = purlin_transport_grpc::Channel::new(format!("http://{address}").parse().unwrap());
    let client = Client::unary(channel, &GREETING, to_name, from_greeting);
    let greeting = client.invoke(Context::new(), "Ann".to_owned()).await.unwrap();
    assert_eq!(greeting, "Hello, Ann!");

    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("the page"), "{answer}");
}
