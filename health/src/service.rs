use crate::Health;
use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body_util::Full;
use std::{
    convert::Infallible,
    fmt,
    task::{Context, Poll},
};
use tower_service::Service;

/// Answers `/livez` and `/readyz` over HTTP.
///
/// `/livez` is 200 as long as the process answers. `/readyz` is 200 or 503, with the names of what
/// failed and nothing of why; `/readyz?verbose` says all of it, as JSON, and belongs on a port that
/// others do not reach. GET and HEAD are answered, other methods with 405, other paths with 404.
#[derive(Clone)]
pub struct HealthService(Health);

impl HealthService {
    pub(crate) fn new(health: Health) -> Self {
        Self(health)
    }
}

impl<B> Service<Request<B>> for HealthService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let health = self.0.clone();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        async move { Ok(answer(&health, &method, uri.path(), uri.query()).await) }.boxed()
    }
}

async fn answer(
    health: &Health,
    method: &Method,
    path: &str,
    query: Option<&str>,
) -> Response<Full<Bytes>> {
    if !matches!(path, "/livez" | "/readyz") {
        return text(method, StatusCode::NOT_FOUND, "not found");
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refused = text(method, StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    if path == "/livez" {
        return text(method, StatusCode::OK, "live");
    }
    let report = health.report().await;
    let status = match report.is_ready() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let verbose = query.unwrap_or_default().split('&').any(|pair| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        name == "verbose"
    });
    if verbose {
        respond(method, status, "application/json", report.to_json())
    } else {
        text(method, status, &report.to_string())
    }
}

fn text(method: &Method, status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    respond(method, status, "text/plain; charset=utf-8", format!("{text}\n"))
}

fn respond(
    method: &Method,
    status: StatusCode,
    content_type: &'static str,
    body: String,
) -> Response<Full<Bytes>> {
    let length = body.len();
    // HEAD is answered as GET is, without the body.
    let body = if method == Method::HEAD { Bytes::new() } else { body.into() };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl fmt::Debug for HealthService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HealthService").field(&self.0).finish()
    }
}
