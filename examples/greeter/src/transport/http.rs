//! The greeter over HTTP.

use crate::endpoints::{Endpoints, GREETING, GreetingReply, GreetingRequest, HEALTH};
use http::Method;
use http_body::Body as _;
use purlin::{
    Carrier, Context, Endpoint, Error, Invalid,
    http_client::HttpClient,
    transport_http::{Body, Client, Router, Server, client, decode, encode},
};

/// All routes. What goes with a call is read by `extract`; errors go to `log` as well, which sees
/// those that no layer has seen.
pub fn router(
    endpoints: &Endpoints,
    extract: impl Fn(&dyn Carrier, Context) -> Result<Context, Error> + Send + Sync + 'static,
    log: impl Fn(&Context, &Error) + Clone + Send + Sync + 'static,
) -> Router {
    let Endpoints { health, greeting, .. } = endpoints.clone();
    let health = Server::new(health, decode_nothing, encode::json).method(&HEALTH);
    let greeting = Server::new(greeting, decode_greeting, encode::json)
        .method(&GREETING)
        .before(move |context, head| extract(&head.headers, context));
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

/// Calls [`GREETING`] of the greeter at this origin, as in `http://127.0.0.1:9110`. What goes with a call is written by `inject`.
///
/// # Errors
///
/// If the origin is none.
pub fn greeting<F>(
    http: HttpClient,
    origin: &str,
    inject: F,
) -> Result<impl Endpoint<GreetingRequest, Response = GreetingReply, Error = Error> + use<F>, Invalid>
where
    F: Fn(&Context, &mut dyn Carrier) -> Result<(), Error> + Send + Sync + 'static,
{
    let uri = format!("{origin}/greeting");
    let client = Client::new(http, Method::GET, uri, client::encode::query, client::decode::json)?;
    Ok(client.before(move |context, head| inject(context, &mut head.headers)))
}
