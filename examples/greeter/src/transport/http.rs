//! The greeter over HTTP.

use crate::endpoints::{Endpoints, GREETING, GreetingReply, GreetingRequest, HEALTH};
use http::Method;
use http_body::Body as _;
use purlin::{
    Context, Endpoint, Error, Invalid,
    http_client::HttpClient,
    transport_http::{Body, Client, Router, Server, client, decode, encode},
};

/// All routes. Errors go to `log` as well, which sees those that no layer has seen.
pub fn router(
    endpoints: &Endpoints,
    log: impl Fn(&Context, &Error) + Clone + Send + Sync + 'static,
) -> Router {
    let Endpoints { health, greeting, .. } = endpoints.clone();
    let health = Server::new(health, decode_nothing, encode::json).method(&HEALTH);
    let greeting = Server::new(greeting, decode_greeting, encode::json).method(&GREETING);
    Router::new()
        .get("/health", health.error_handler(log.clone()))
        .get("/greeting", greeting.error_handler(log))
}

async fn decode_nothing(_: Context, request: http::Request<Body>) -> Result<(), Error> {
    without_body(&request)
}

async fn decode_greeting(
    context: Context,
    request: http::Request<Body>,
) -> Result<GreetingRequest, Error> {
    without_body(&request)?;
    decode::query(context, request).await
}

/// A caller that sends a body thinks that this route does something with it.
fn without_body(request: &http::Request<Body>) -> Result<(), Error> {
    match request.body().is_end_stream() {
        true => Ok(()),
        false => Err(Error::invalid("body", "is not taken by this route")),
    }
}

/// Calls [`GREETING`] of the greeter at this address.
///
/// # Errors
///
/// If the address is not one that can stand in a URI.
pub fn greeting(
    http: HttpClient,
    address: &str,
) -> Result<impl Endpoint<GreetingRequest, Response = GreetingReply, Error = Error> + use<>, Invalid>
{
    let uri = format!("http://{address}/greeting");
    Client::new(http, Method::GET, uri, client::encode::query, client::decode::json)
}
