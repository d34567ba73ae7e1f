//! Purlin's own servers.

use std::convert::Infallible;
use std::error::Error;
use std::fs::File;
use std::future::pending;
use std::time::Duration;

use purlin::log::{LogLayer, Logger};
use purlin::serve::{Protocol, Server as Serve};
use purlin::{
    BoxEndpoint, Context, Endpoint, MethodLayer, endpoint_fn, transport_grpc, transport_http,
};
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder};
use transport_http::{Router, Server, decode, encode};

use super::greeter::{Greeting, Name, greet};
use super::{Options, Serving};
use crate::pb::{GreetingReply, GreetingRequest};
use purlin_bench::micro::chain;

static GREETING: purlin::Method = purlin::Method::unary("greeter.Greeter", "Greeting");

/// One endpoint, no layer, all of `serve`'s protections.
pub(super) fn http(listener: TcpListener, _: Options) -> Serving {
    let router = router(BoxEndpoint::new(greeting()));
    Box::pin(async move {
        served(Serve::new(), listener, router).await;
        Ok(())
    })
}

/// The same with the protections off.
pub(super) fn http_open(listener: TcpListener, _: Options) -> Serving {
    let router = router(BoxEndpoint::new(greeting()));
    let open = Serve::new()
        .protocol(Protocol::Http1)
        .host_rules(false)
        .first_byte_timeout(Duration::MAX)
        .header_timeout(Duration::MAX)
        .idle_timeout(Duration::MAX)
        .stall_timeout(Duration::MAX)
        .request_timeout(Duration::MAX);
    Box::pin(async move {
        served(open, listener, router).await;
        Ok(())
    })
}

/// With one line for each call.
pub(super) fn http_log(listener: TcpListener, options: Options) -> Serving {
    Box::pin(async move {
        let router = router(BoxEndpoint::new(logged(&options, greeting())?));
        served(Serve::new(), listener, router).await;
        Ok(())
    })
}

/// With all that tells of a call and protects from it: a span that is not recorded, a line, metrics,
/// a limiter, a breaker and a deadline.
pub(super) fn http_full(listener: TcpListener, options: Options) -> Serving {
    Box::pin(async move {
        let full = chain::around(&GREETING, log(&options)?, greeting())?;
        served(Serve::new(), listener, router(BoxEndpoint::new(full))).await;
        Ok(())
    })
}

/// The same over gRPC.
pub(super) fn grpc_full(listener: TcpListener, options: Options) -> Serving {
    Box::pin(async move {
        let full = chain::around(&GREETING, log(&options)?, greeting())?;
        served(Serve::new(), listener, methods(BoxEndpoint::new(full))).await;
        Ok(())
    })
}

/// One method, no layer.
pub(super) fn grpc(listener: TcpListener, _: Options) -> Serving {
    let server = methods(BoxEndpoint::new(greeting()));
    Box::pin(async move {
        served(Serve::new(), listener, server).await;
        Ok(())
    })
}

/// With one line for each call.
pub(super) fn grpc_log(listener: TcpListener, options: Options) -> Serving {
    Box::pin(async move {
        let server = methods(BoxEndpoint::new(logged(&options, greeting())?));
        served(Serve::new(), listener, server).await;
        Ok(())
    })
}

async fn served<S, B>(serve: Serve, listener: TcpListener, service: S)
where
    S: Service<
            http::Request<hyper::body::Incoming>,
            Response = http::Response<B>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static,
    B: hyper::body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    serve.serve(listener, service, pending()).await;
}

fn greeting() -> impl Endpoint<Name, Response = Greeting, Error = purlin::Error> {
    endpoint_fn(|_: Context, Name { name }| async move {
        Ok::<_, purlin::Error>(Greeting { greeting: greet(&name) })
    })
}

fn logged<S>(
    options: &Options,
    inner: S,
) -> std::io::Result<impl Endpoint<Name, Response = Greeting, Error = purlin::Error> + use<S>>
where
    S: Endpoint<Name, Response = Greeting, Error = purlin::Error>,
{
    Ok(ServiceBuilder::new()
        .layer(MethodLayer::new(&GREETING))
        .layer(LogLayer::new(log(options)?))
        .service(inner))
}

fn log(options: &Options) -> std::io::Result<Logger> {
    Ok(Logger::logfmt(File::options().append(true).create(true).open(&options.log)?))
}

fn router(greeting: BoxEndpoint<Name, Greeting>) -> Router {
    let server = Server::new(greeting, decode::query::<Name>, encode::json).method(&GREETING);
    Router::new().get("/greeting", server)
}

fn methods(greeting: BoxEndpoint<Name, Greeting>) -> transport_grpc::Server {
    transport_grpc::Server::new().unary(
        &GREETING,
        greeting,
        |request: GreetingRequest| Ok(Name { name: request.name }),
        |reply: Greeting| Ok(GreetingReply { greeting: reply.greeting }),
    )
}
