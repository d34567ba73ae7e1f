//! What a Rust user assembles round tonic: a line, two metrics and a limit per call.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{Request, Response};
use tokio::net::TcpListener;
use tonic::Status;
use tower::{Layer, Service};
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
use tracing::Level;

use super::tonic_plain::{Plain, incoming};
use super::{Options, Serving, metering};
use crate::pb::greeter_server::GreeterServer;

pub(super) fn serve(listener: TcpListener, options: Options) -> Serving {
    Box::pin(async move {
        metering::log_to(&options.log)?;
        metering::install_metrics()?;
        let trace = TraceLayer::new_for_grpc()
            .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
            .on_request(())
            .on_response(DefaultOnResponse::new().level(Level::INFO));
        let limiter = metering::limiter();
        let limited =
            GreeterServer::with_interceptor(Plain, move |request| match limiter.check() {
                Ok(()) => Ok(request),
                Err(_) => Err(Status::resource_exhausted("over the limit")),
            });
        Ok(tonic::transport::Server::builder()
            .layer(trace)
            .layer(Count)
            .add_service(limited)
            .serve_with_incoming(incoming(listener))
            .await?)
    })
}

/// Records every call under owned labels, in a boxed future as tonic's own layer example does.
#[derive(Clone, Copy)]
struct Count;

impl<S> Layer<S> for Count {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted(inner)
    }
}

#[derive(Clone)]
struct Counted<S>(S);

impl<S, B, R> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone stays behind, because only the service that was polled is ready.
        let clone = self.0.clone();
        let mut ready = std::mem::replace(&mut self.0, clone);
        Box::pin(async move {
            let start = Instant::now();
            let method = request.method().to_string();
            let path = request.uri().path().to_owned();
            let response = ready.call(request).await?;
            metering::record(method, path, response.status().as_u16().to_string(), start.elapsed());
            Ok(response)
        })
    }
}
