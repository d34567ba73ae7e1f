//! A member that answers what a real one does not on demand.

use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Bytes, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{convert::Infallible, net::SocketAddr};
use tokio::{net::TcpListener, task::JoinSet};

type Body = BoxBody<Bytes, Infallible>;

/// Answers whatever is asked in one way. It ends with the value.
pub(super) struct Fake {
    address: SocketAddr,
    _task: JoinSet<()>,
}

impl Fake {
    /// One that has no leader.
    pub(super) async fn that_fails() -> Self {
        Self::start(|| {
            let answer = Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", "14")
                .header("grpc-message", "etcdserver: no leader");
            answer.body(Full::default().boxed()).unwrap()
        })
        .await
    }

    /// One whose messages have no fields.
    pub(super) async fn that_says_nothing() -> Self {
        Self::start(|| {
            let trailers = HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static("0"),
            )]);
            let body = Full::new(Bytes::from_static(&[0; 5]));
            let body = body.with_trailers(std::future::ready(Some(Ok(trailers))));
            let answer = Response::builder().header("content-type", "application/grpc");
            answer.body(body.boxed()).unwrap()
        })
        .await
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    async fn start(answer: fn() -> Response<Body>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let service = service_fn(move |_| async move { Ok::<_, Infallible>(answer()) });
                let server = http2::Builder::new(TokioExecutor::new());
                connections.spawn(server.serve_connection(TokioIo::new(connection), service));
            }
        });
        Self { address, _task: task }
    }
}
