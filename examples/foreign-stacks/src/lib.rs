//! Purlin's layers on stacks that are not Purlin's: axum's routes, and tonic's channel.
//!
//! Both take the very layers that stand around an endpoint, with no adapter and no `map_err`. A
//! route can't fail and a channel's error is tonic's own, so a refusal is answered with a response.

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use purlin_endpoint::{ByGrpcStatus, ByStatus, Method, MethodLayer};
use purlin_log::{LogLayer, Logger};
use purlin_timeout::{TimedOut, TimeoutLayer};
use purlin_transport_grpc::to_status;
use tonic::{body::Body, transport::Channel};
use tonic_health::pb::health_client::HealthClient;
use tower::{ServiceBuilder, util::BoxCloneSyncService};

/// What the log calls the route.
pub static HELLO: Method = Method::unary("axum", "hello");
/// What the log calls the calls of the channel.
pub static HEALTH: Method = Method::unary("grpc.health.v1.Health", "Check");

/// A router of axum's, with the layers on its route.
pub fn router(
    log: &Logger,
    timeout: TimeoutLayer,
    hello: axum::routing::MethodRouter,
) -> axum::Router {
    axum::Router::new().route("/hello", hello).layer((
        MethodLayer::new(&HELLO),
        LogLayer::new(log.clone()).classify(ByStatus),
        timeout.respond(too_late),
    ))
}

fn too_late(late: TimedOut) -> Response {
    (StatusCode::GATEWAY_TIMEOUT, late.to_string()).into_response()
}

/// A channel of tonic's, behind the layers.
pub type Checked =
    BoxCloneSyncService<http::Request<Body>, http::Response<Body>, tonic::transport::Error>;

/// A client of tonic's, with the layers around its channel.
pub fn client(log: &Logger, timeout: TimeoutLayer, channel: Channel) -> HealthClient<Checked> {
    let stack = ServiceBuilder::new()
        .layer(MethodLayer::new(&HEALTH))
        .layer(LogLayer::new(log.clone()).classify(ByGrpcStatus))
        .layer(timeout.respond(to_status::<TimedOut, Body>))
        .service(channel);
    HealthClient::new(BoxCloneSyncService::new(stack))
}
