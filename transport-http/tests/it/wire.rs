//! Over connections, with hyper's clients and with bare bytes.

use crate::{Diary, expect_panics};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use purlin_endpoint::{
    Context, End, Error, Guard, Intercept, InterceptLayer, Layer as _, Method, Streaming,
    endpoint_fn,
};
use purlin_serve::memory;
use purlin_transport_http::{Body, Router, Server, decode, encode};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

/// A server on the other end of a pipe, which ends when it is told to.
struct Serving {
    stop: oneshot::Sender<()>,
    done: JoinHandle<purlin_serve::Report>,
}

impl Serving {
    async fn end(self) -> purlin_serve::Report {
        self.stop.send(()).unwrap();
        self.done.await.unwrap()
    }
}

async fn serve(router: Router) -> (DuplexStream, Serving) {
    let (accept, dial) = memory();
    let (stop, stopped) = oneshot::channel();
    let done = tokio::spawn(purlin_serve::Server::new().serve(accept, router, async {
        let _ = stopped.await;
    }));
    (dial.connect().await.unwrap(), Serving { stop, done })
}

async fn http2(pipe: DuplexStream) -> conn::http2::SendRequest<Body> {
    let (sender, connection) =
        conn::http2::handshake(TokioExecutor::new(), TokioIo::new(pipe)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(path: &str) -> Request<Body> {
    Request::get(format!("http://here{path}")).body(Body::empty()).unwrap()
}

/// Says these bytes, and hears everything until the connection ends.
async fn talk(mut pipe: DuplexStream, words: &str) -> String {
    pipe.write_all(words.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    // A connection that is cut off is an end too.
    let _ = pipe.read_to_end(&mut heard).await;
    String::from_utf8(heard).unwrap()
}

/// How many calls are in progress.
#[derive(Clone, Default)]
struct InFlight(Arc<AtomicI64>);

impl<Req> Intercept<Req> for InFlight {
    type Guard = Counted;
    type Refusal = Infallible;

    fn before(self: &Arc<Self>, _: &mut Req) -> Result<Counted, Infallible> {
        self.0.fetch_add(1, Relaxed);
        Ok(Counted(self.0.clone()))
    }
}

struct Counted(Arc<AtomicI64>);

impl<Res, Err> Guard<Res, Err> for Counted {
    fn end(self, _: End<'_>) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_panics_on_one_connection_are_ten_thousand_answers_and_leave_nothing_behind() {
    const PANICS: usize = 10_000;
    expect_panics();
    let in_flight = InFlight::default();
    let alive = Arc::new(());
    let endpoint = endpoint_fn({
        let alive = alive.clone();
        move |_: Context, ()| {
            let held = alive.clone();
            async move {
                tokio::task::yield_now().await;
                if Arc::strong_count(&held) > 0 {
                    panic!("secret");
                }
                Ok::<_, Error>(())
            }
        }
    });
    let layered = InterceptLayer::observer(in_flight.clone()).layer(endpoint);
    let server = Server::new(layered, decode::no_request, encode::json);
    let router = Router::new().get("/panic", server).get("/fine", fine());
    let (pipe, serving) = serve(router).await;
    let sender = http2(pipe).await;
    let mut calls = JoinSet::new();
    let mut answers = 0;
    for _ in 0..PANICS {
        let mut sender = sender.clone();
        calls.spawn(async move {
            sender.ready().await.unwrap();
            let response = sender.send_request(request("/panic")).await.unwrap();
            let status = response.status();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert!(!body.windows(6).any(|window| window == b"secret"));
            status
        });
        if calls.len() == 100 {
            answers += usize::from(calls.join_next().await.unwrap().unwrap() == 500);
        }
    }
    while let Some(status) = calls.join_next().await {
        answers += usize::from(status.unwrap() == 500);
    }
    assert_eq!(answers, PANICS);
    assert_eq!(in_flight.0.load(Relaxed), 0);
    let mut last = sender.clone();
    last.ready().await.unwrap();
    assert_eq!(last.send_request(request("/fine")).await.unwrap().status(), 200);
    drop((sender, last));
    let report = serving.end().await;
    assert_eq!((report.cut, Arc::strong_count(&alive)), (0, 1));
}

fn fine() -> impl purlin_transport_http::HttpService {
    let endpoint = endpoint_fn(|_: Context, ()| async { Ok::<_, Error>("fine") });
    Server::new(endpoint, decode::no_request, encode::text)
}

#[tokio::test]
async fn a_panic_on_http1_leaves_the_connection_open() {
    expect_panics();
    let endpoint = endpoint_fn(|context: Context, ()| async move {
        assert!(context.method().is_some(), "secret");
        Ok::<_, Error>(())
    });
    let panics = Server::new(endpoint, decode::no_request, encode::json);
    let (pipe, _serving) = serve(Router::new().get("/panic", panics).get("/fine", fine())).await;
    let heard = talk(
        pipe,
        "GET /panic HTTP/1.1\r\nhost: h\r\n\r\nGET /fine HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(heard.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{heard}");
    assert!(heard.contains("HTTP/1.1 200 OK\r\n") && heard.ends_with("fine"), "{heard}");
    assert!(!heard.contains("secret"));
}

#[tokio::test]
async fn a_response_on_http1_has_a_length_and_no_more_headers_than_it_needs() {
    let (pipe, _serving) = serve(Router::new().get("/", fine())).await;
    let heard =
        talk(pipe, "GET / HTTP/1.1\r\nhost: h\r\nx-request-id: r1\r\nconnection: close\r\n\r\n")
            .await;
    let mut lines: Vec<_> =
        heard.split("\r\n").filter(|line| !line.starts_with("date: ")).collect();
    lines[1..5].sort_unstable();
    assert_eq!(
        lines,
        [
            "HTTP/1.1 200 OK",
            "connection: close",
            "content-length: 4",
            "content-type: text/plain; charset=utf-8",
            "x-request-id: r1",
            "",
            "fine"
        ]
    );
}

#[tokio::test]
async fn head_has_the_length_that_get_would_have() {
    let (pipe, _serving) = serve(Router::new().get("/", fine())).await;
    let heard = talk(pipe, "HEAD / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    assert!(heard.contains("\r\ncontent-length: 4\r\n") && heard.ends_with("\r\n\r\n"), "{heard}");
}

#[tokio::test]
async fn trailers_are_sent_on_http1_to_whoever_takes_them() {
    let endpoint = endpoint_fn(|context: Context, ()| async move {
        context.reply().header("trailer", "x-sum");
        context.reply().trailer("x-sum", "3");
        Ok::<_, Error>("body")
    });
    let server = Server::new(endpoint, decode::no_request, encode::text);
    let (pipe, _serving) = serve(Router::new().get("/", server)).await;
    let heard =
        talk(pipe, "GET / HTTP/1.1\r\nhost: h\r\nte: trailers\r\nconnection: close, te\r\n\r\n")
            .await;
    assert!(heard.ends_with("4\r\nbody\r\n0\r\nx-sum: 3\r\n\r\n"), "{heard}");
}

#[tokio::test]
async fn trailers_are_sent_on_http2() {
    let endpoint = endpoint_fn(|context: Context, ()| async move {
        context.reply().trailer("x-sum", "3");
        Ok::<_, Error>("body")
    });
    let server = Server::new(endpoint, decode::no_request, encode::text);
    let (pipe, _serving) = serve(Router::new().get("/", server)).await;
    let mut sender = http2(pipe).await;
    let response: Response<Incoming> = sender.send_request(request("/")).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], "3");
    assert_eq!(body.to_bytes(), "body");
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_refused() {
    let endpoint =
        endpoint_fn(|_: Context, body: bytes::Bytes| async move { Ok::<_, Error>(body.len()) });
    let server = Server::new(endpoint, decode::raw, encode::json).body_limit(5);
    let (pipe, _serving) = serve(Router::new().post("/", server)).await;
    let heard = talk(
        pipe,
        "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
         3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
    )
    .await;
    assert!(heard.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{heard}");
}

#[tokio::test]
async fn a_malformed_body_is_a_bad_request() {
    let endpoint =
        endpoint_fn(|_: Context, body: bytes::Bytes| async move { Ok::<_, Error>(body.len()) });
    let server = Server::new(endpoint, decode::raw, encode::json);
    let (pipe, _serving) = serve(Router::new().post("/", server)).await;
    let heard = talk(
        pipe,
        "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
         zz\r\nabc\r\n0\r\n\r\n",
    )
    .await;
    assert!(heard.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{heard}");
}

static TICK: Method = Method::server_streaming("clock.Clock", "Tick");

#[tokio::test]
async fn a_stream_whose_peer_resets_it_is_dropped() {
    let (feed, fed) = tokio::sync::mpsc::unbounded_channel();
    let fed = Arc::new(std::sync::Mutex::new(Some(fed)));
    let diary = Diary::default();
    let endpoint = endpoint_fn(move |_: Context, ()| {
        let fed = fed.lock().unwrap().take().unwrap();
        async move { Ok::<_, Error>(Streaming::new(Ticks(fed))) }
    });
    let server = Server::new(diary.layer().layer(endpoint), decode::no_request, encode::json_lines)
        .method(&TICK);
    let (pipe, _serving) = serve(Router::new().get("/", server)).await;
    let mut sender = http2(pipe).await;
    let mut body = sender.send_request(request("/")).await.unwrap().into_body();
    feed.send(Ok(1)).unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "1\n");
    drop(body);
    tokio::time::timeout(Duration::from_secs(5), feed.closed()).await.unwrap();
    assert_eq!(diary.take(), ["dropped"]);
}

struct Ticks(tokio::sync::mpsc::UnboundedReceiver<Result<u8, Error>>);

impl futures_core::Stream for Ticks {
    type Item = Result<u8, Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        task: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(task)
    }
}

#[cfg(feature = "client")]
mod pooled {
    use super::*;
    use purlin_endpoint::{Code, Endpoint as _};
    use purlin_transport_http::{
        Client,
        client::{HttpClient, decode as from_server, encode as to_server},
    };

    #[tokio::test]
    async fn a_client_and_a_server_meet_on_a_socket() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Greeting {
            name: String,
        }
        let endpoint = endpoint_fn(|_: Context, Greeting { name }| async move {
            Ok::<_, Error>(format!("Hello, {name}!"))
        });
        let router = Router::new()
            .get("/greeting", Server::new(endpoint, decode::query::<Greeting>, encode::json))
            .post("/greeting", Server::new(endpoint, decode::json::<Greeting>, encode::json));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/greeting", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let done = tokio::spawn(purlin_serve::Server::new().serve(listener, router, async {
            let _ = stopped.await;
        }));
        let http = HttpClient::new();
        let ask = || Greeting { name: "Ann & Bo".into() };
        let get = Client::new(
            http.clone(),
            http::Method::GET,
            &uri,
            to_server::query::<Greeting>,
            from_server::json::<String>,
        );
        assert_eq!(
            get.unwrap().invoke(Context::default(), ask()).await.unwrap(),
            "Hello, Ann & Bo!"
        );
        let post = Client::new(
            http.clone(),
            http::Method::POST,
            &uri,
            to_server::json::<Greeting>,
            from_server::json::<String>,
        );
        assert_eq!(
            post.unwrap().invoke(Context::default(), ask()).await.unwrap(),
            "Hello, Ann & Bo!"
        );
        let wrong = Client::new(
            http,
            http::Method::GET,
            &uri,
            to_server::no_request,
            from_server::json::<String>,
        );
        let error = wrong.unwrap().invoke(Context::default(), ()).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::InvalidArgument, "name is missing"));
        stop.send(()).unwrap();
        assert_eq!(done.await.unwrap().cut, 0);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_was_not_reached_and_is_named() {
        // The port was free a moment ago, and nobody else on this machine is given it now.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let client = Client::new(
            HttpClient::new(),
            http::Method::GET,
            format!("http://{address}/"),
            to_server::no_request,
            from_server::raw,
        );
        let error = client.unwrap().invoke(Context::default(), ()).await.unwrap_err();
        assert_eq!((error.code(), error.is_unreached()), (Code::Unavailable, true));
        assert!(error.message().contains(&address.to_string()), "{error}");
    }
}
