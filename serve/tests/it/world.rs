//! A server that runs, the service it serves, and clients that speak raw bytes or HTTP/2.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::{SendRequest, handshake},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use purlin_endpoint::{Identity, Peer};
use purlin_serve::{Accept, Handle, MemoryDial, Report, Server, memory};
use std::{convert::Infallible, future::pending, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::sleep,
};
use tokio_stream::wrappers::ReceiverStream;
use tower::service_fn;

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A server that runs in the background.
pub(crate) struct Started {
    pub(crate) handle: Handle,
    stop: oneshot::Sender<()>,
    pub(crate) server: JoinHandle<Report>,
}

impl Started {
    /// Begins the drain, and gives what its end will be.
    pub(crate) fn stop(self) -> JoinHandle<Report> {
        self.stop.send(()).unwrap();
        self.server
    }

    /// Waits until this many connections are open.
    pub(crate) async fn connections(&self, count: usize) {
        while self.handle.connections() != count {
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) fn start(server: Server, accept: impl Accept + 'static) -> Started {
    let handle = server.handle();
    let (stop, stopped) = oneshot::channel();
    let server = server.serve(accept, service_fn(answer), async { stopped.await.unwrap() });
    Started { handle, stop, server: tokio::spawn(server) }
}

pub(crate) fn start_in_memory(server: Server) -> (Started, MemoryDial) {
    let (accept, dial) = memory();
    (start(server, accept), dial)
}

pub(crate) async fn start_on_tcp(server: Server) -> (Started, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (start(server, listener), address)
}

pub(crate) async fn answer(request: Request<Incoming>) -> Result<Response<Body>, &'static str> {
    let body = match request.uri().path() {
        "/peer" => text(request.extensions().get::<Peer>().unwrap().to_string()),
        "/identity" => {
            let identity = request.extensions().get::<Identity>();
            text(identity.map_or("nobody".to_owned(), ToString::to_string))
        }
        "/second" => {
            sleep(Duration::from_secs(1)).await;
            text("a second")
        }
        "/echo" => request.into_body().map_err(|_| unreachable!()).boxed_unsync(),
        "/huge" => text("x".repeat(16 << 20)),
        "/minutes" => ticks(),
        "/stuck" => {
            StreamBody::new(tokio_stream::pending::<Result<Frame<Bytes>, _>>()).boxed_unsync()
        }
        "/never" => pending().await,
        "/error" => return Err("no"),
        "/panic" => panic!("on purpose"),
        _ => text("hello"),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}

fn text(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed_unsync()
}

/// Five ticks, a minute apart.
fn ticks() -> Body {
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(async move {
        for _ in 0..5 {
            sleep(Duration::from_secs(60)).await;
            send.send(Ok(Frame::data(Bytes::from("tick ")))).await.unwrap();
        }
    });
    StreamBody::new(ReceiverStream::new(receive)).boxed_unsync()
}

/// A GET of HTTP/1.1.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: here\r\n\r\n")
}

/// Sends bytes, and reads until these come.
pub(crate) async fn ask<I>(stream: &mut I, send: &str, until: &str) -> String
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(send.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&answer).contains(until) {
        let count = stream.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0, "closed after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(answer).unwrap()
}

/// Reads to the end. A reset is an end too.
pub(crate) async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) async fn http2<I>(io: I) -> SendRequest<Empty<Bytes>>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (send, connection) = handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    send
}

pub(crate) fn request(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://here{path}")).body(Empty::new()).unwrap()
}

pub(crate) async fn dial(dial: &MemoryDial) -> DuplexStream {
    dial.connect().await.unwrap()
}

pub(crate) async fn body(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) async fn tcp(address: std::net::SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}
