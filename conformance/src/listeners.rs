//! The two listeners that h2spec attacks: both answer `/` with 200 and a body.

use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use purlin_endpoint::{BoxError, Context, Error, endpoint_fn};
use purlin_serve::Protocol;
use purlin_transport_http::{Router, Server, decode, encode};
use std::{convert::Infallible, future::pending, io, net::SocketAddr};
use tokio::{net::TcpListener, task::JoinHandle};
use tower::Service;

const TEXT: &str = "Hello!\n";

/// A server that lives as long as this does, on a port of its own.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Listener {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Endpoints over HTTP, on a port that speaks HTTP/1.1 as well.
    ///
    /// # Errors
    ///
    /// If no port can be had.
    pub async fn http() -> io::Result<Self> {
        let hello = endpoint_fn(async |_: Context, _: Bytes| Ok::<_, Error>(TEXT));
        let hello = || Server::new(hello, decode::raw, encode::text);
        let router = Router::new().get("/", hello()).post("/", hello());
        Self::serve(purlin_serve::Server::new(), router).await
    }

    /// Endpoints over gRPC, and beside them, as its cases want it, a page; on a port that speaks
    /// HTTP/2 only.
    ///
    /// # Errors
    ///
    /// If no port can be had.
    pub async fn grpc() -> io::Result<Self> {
        let service = crate::interop::service().fallback(tower::service_fn(page));
        Self::serve(purlin_serve::Server::new().protocol(Protocol::Http2), service).await
    }

    /// The service of the interoperability cases, packing longer answers only, and watched.
    ///
    /// # Errors
    ///
    /// If no port can be had.
    pub async fn tapped(flags: crate::interop::Flags) -> io::Result<Self> {
        let service = crate::interop::service().gzip_from(crate::interop::PACKED_FROM);
        let service = crate::interop::Tapped::new(service, flags);
        Self::serve(purlin_serve::Server::new(), service).await
    }

    async fn serve<S, B>(server: purlin_serve::Server, service: S) -> io::Result<Self>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            server.serve(listener, service, pending()).await;
        });
        Ok(Self { address, task })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads the request to its end, as any page with a form would.
async fn page(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let read = request.into_body().collect().await;
    let text = if read.is_ok() { TEXT } else { "The request broke off.\n" };
    Ok(Response::new(Full::new(Bytes::from(text))))
}
