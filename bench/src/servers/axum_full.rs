//! What a Rust user assembles round axum: a line, two metrics and a limit per call.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use governor::DefaultDirectRateLimiter;
use tokio::net::TcpListener;
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
use tracing::Level;

use super::axum_plain::greeting;
use super::{Options, Serving, metering};

pub(super) fn serve(listener: TcpListener, options: Options) -> Serving {
    Box::pin(async move {
        metering::log_to(&options.log)?;
        let handle = metering::install_metrics()?;
        let trace = TraceLayer::new_for_http()
            .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
            .on_request(())
            .on_response(DefaultOnResponse::new().level(Level::INFO));
        // Later layers are further out: a call is traced, then limited, then counted.
        let router = Router::new()
            .route("/greeting", get(greeting))
            .route_layer(from_fn(count))
            .layer(from_fn_with_state(metering::limiter(), limit))
            .layer(trace)
            .route("/metrics", get(async move || handle.render()));
        Ok(axum::serve(listener, router).await?)
    })
}

async fn count(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let path = match request.extensions().get::<MatchedPath>() {
        Some(matched) => matched.as_str().to_owned(),
        None => request.uri().path().to_owned(),
    };
    let method = request.method().to_string();
    let response = next.run(request).await;
    metering::record(method, path, response.status().as_u16().to_string(), start.elapsed());
    response
}

async fn limit(
    State(limiter): State<Arc<DefaultDirectRateLimiter>>,
    request: Request,
    next: Next,
) -> Response {
    match limiter.check() {
        Ok(()) => next.run(request).await,
        Err(_) => StatusCode::TOO_MANY_REQUESTS.into_response(),
    }
}
