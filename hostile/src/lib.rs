//! What the attacks are aimed at.
//!
//! ```
//! use http::Request;
//! use purlin_endpoint::Service as _;
//! use purlin_transport_http::Body;
//!
//! # tokio_test::block_on(async {
//! let request = Request::post("/a?b").body(Body::from("hello"))?;
//! let response = purlin_hostile::echo().call(request).await?;
//! assert_eq!(response.headers()["x-target"], "/a?b");
//! assert_eq!(response.into_body().bytes().await?, "hello");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! Nothing here is tuned against an attack: both services have the limits that everybody gets.

pub mod oracle;
pub mod parsers;
pub mod transcript;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderValue, Response};
use prost::Message;
use purlin_endpoint::{Context, Error, Method, Streaming, endpoint_fn};
use purlin_transport_grpc::Server as GrpcServer;
use purlin_transport_http::{Body, Router, Server, encode};

/// A method that answers what it was asked.
pub static ECHO: Method = Method::unary("hostile.Hostile", "Echo").idempotent();

/// A method that sums up how many bytes it was sent.
pub static COUNT: Method = Method::client_streaming("hostile.Hostile", "Count");

/// The message of both methods.
#[derive(Clone, PartialEq, Message)]
pub struct Payload {
    /// Any bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub bytes: Bytes,
}

/// What an HTTP request was understood as.
struct Understood {
    method: http::Method,
    target: String,
    body: Bytes,
}

/// A router that answers every request with what it has understood of it: the body, and in headers
/// the method and the target.
///
/// `/large` is answered with 16 MiB.
pub fn echo() -> Router {
    let echo = endpoint_fn(async |_: Context, understood: Understood| Ok::<_, Error>(understood));
    let bytes = Bytes::from(vec![b'x'; 16 << 20]);
    let large =
        endpoint_fn(move |_: Context, ()| std::future::ready(Ok::<_, Error>(bytes.clone())));
    let large = Server::new(large, purlin_transport_http::decode::no_request, encode::raw);
    Router::new().get("/large", large).fallback(Server::new(echo, understand, tell))
}

async fn understand(_: Context, request: http::Request<Body>) -> Result<Understood, Error> {
    let (head, body) = request.into_parts();
    let target =
        head.uri.path_and_query().map_or_else(|| head.uri.to_string(), ToString::to_string);
    Ok(Understood { method: head.method, target, body: body.bytes().await? })
}

fn tell(context: &Context, understood: Understood) -> Result<Response<Body>, Error> {
    let mut response = encode::raw(context, understood.body)?;
    let header = |value: &str| HeaderValue::from_str(value).map_err(Error::internal);
    let headers = response.headers_mut();
    headers.insert("x-method", header(understood.method.as_str())?);
    headers.insert("x-target", header(&understood.target)?);
    Ok(response)
}

/// The gRPC methods, with gzip, and whatever is not gRPC for the [`echo`] router.
pub fn both() -> GrpcServer<Router> {
    grpc().fallback(self::echo())
}

/// The gRPC methods alone.
pub fn grpc() -> GrpcServer {
    let echo = endpoint_fn(async |_: Context, payload: Payload| Ok::<_, Error>(payload));
    let count = endpoint_fn(async |_: Context, mut payloads: Streaming<Payload>| {
        let mut sum = 0;
        while let Some(payload) = payloads.next().await {
            sum += payload?.bytes.len();
        }
        Ok::<_, Error>(Payload { bytes: sum.to_string().into() })
    });
    GrpcServer::new()
        .gzip(true)
        .unary(&ECHO, echo, Ok::<Payload, Error>, Ok::<Payload, Error>)
        .client_streaming(&COUNT, count, Ok::<Payload, Error>, Ok::<Payload, Error>)
}
