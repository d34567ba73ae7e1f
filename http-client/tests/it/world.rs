//! A server of hyper's, which counts its connections.

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use purlin_http_client::{HttpClient, ResponseBody, connect_fn};
use std::{
    convert::Infallible,
    future::pending,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};

pub(crate) struct Counted {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Counted {
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Relaxed)
    }

    pub(crate) fn uri(&self, path: &str) -> Uri {
        format!("http://{}{path}", self.address).parse().unwrap()
    }
}

pub(crate) async fn serve_tcp(http2: bool) -> Counted {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&accepted);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counting.fetch_add(1, Relaxed);
            tokio::spawn(serve(stream, http2));
        }
    });
    Counted { address, accepted }
}

pub(crate) async fn serve<I>(io: I, http2: bool)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (io, service) = (TokioIo::new(io), service_fn(answer));
    // How a connection ends is seen by the client.
    let _ = match http2 {
        true => http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await,
        false => http1::Builder::new().serve_connection(io, service).await,
    };
}

/// A client whose server is in this process, so that time can be stopped.
pub(crate) fn in_memory() -> HttpClient {
    HttpClient::over(connect_fn(|_uri| async {
        let (near, far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(serve(far, false));
        Ok(near)
    }))
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, io::Error>>, Infallible> {
    let body = match request.uri().path() {
        "/echo" => request.into_body().map_err(io::Error::other).boxed_unsync(),
        "/length" => text(format!("{:?}", request.headers().get("content-length"))),
        "/version" => text(format!("{:?}", request.version())),
        "/never" => pending().await,
        "/stuck" => StreamBody::new(tokio_stream::pending()).boxed_unsync(),
        "/large" => text("x".repeat(100_000)),
        _ => text("hello"),
    };
    Ok(Response::new(body))
}

fn text(text: impl Into<Bytes>) -> UnsyncBoxBody<Bytes, io::Error> {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn get(uri: Uri) -> Request<Empty<Bytes>> {
    Request::get(uri).body(Empty::new()).unwrap()
}

pub(crate) async fn read(response: Response<ResponseBody>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}
