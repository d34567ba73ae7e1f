//! The greeter over HTTP.

use crate::endpoints::{Endpoints, GREETING, GreetingReply, GreetingRequest, HEALTH};
use purlin::{
    Context, Endpoint, Error,
    http_client::HttpClient,
    transport_http::{Body, Client, Router, Server, client, decode, encode},
};

/// All routes.
pub fn router(endpoints: &Endpoints) -> Router {
    let Endpoints { health, greeting, .. } = endpoints.clone();
    Router::new()
        .get("/health", Server::new(health, decode::no_request, encode::json).method(&HEALTH))
        .get("/greeting", Server::new(greeting, decode_greeting, encode::json).method(&GREETING))
}

async fn decode_greeting(
    context: Context,
    request: purlin::transport_http::Request,
) -> Result<GreetingRequest, Error> {
    decode::query(context, request).await
}
