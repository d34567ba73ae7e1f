//! The methods, their messages, and the layers around them: no transport is known here.

use crate::service::{Greeter, GreeterError};
use purlin::{
    BoxEndpoint, Code, Endpoint, Error, Method, MethodLayer, Streaming,
    circuitbreaker::CircuitBreakerLayer, endpoint_fn, log::LogLayer, metrics::MetricsLayer,
    retry::RetryLayer, timeout::TimeoutLayer,
};
use std::sync::Arc;
use tower::ServiceBuilder;

/// Whether the service is well.
pub static HEALTH: Method = Method::unary("greeter.Greeter", "Health").idempotent();
/// One greeting.
pub static GREETING: Method = Method::unary("greeter.Greeter", "Greeting").idempotent();
/// One greeting for each name and language.
pub static GREET_MANY: Method =
    Method::server_streaming("greeter.Greeter", "GreetMany").idempotent();

/// Who is greeted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GreetingRequest {
    /// One name.
    pub name: String,
}

/// A greeting.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GreetingReply {
    /// Its text.
    pub greeting: String,
}

/// Who is greeted, and in which languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GreetManyRequest {
    /// The names.
    pub names: Vec<String>,
    /// The languages' two-letter codes.
    pub languages: Vec<String>,
}

/// Whether the service is well.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HealthReply {
    /// It is.
    pub healthy: bool,
}

/// All methods of the service, each behind its layers.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// Serves [`HEALTH`].
    pub health: BoxEndpoint<(), HealthReply>,
    /// Serves [`GREETING`].
    pub greeting: BoxEndpoint<GreetingRequest, GreetingReply>,
    /// Serves [`GREET_MANY`].
    pub greet_many: BoxEndpoint<GreetManyRequest, Streaming<GreetingReply>>,
}

impl Endpoints {
    /// Wraps a service's methods.
    pub fn new(
        greeter: impl Greeter,
        log: &LogLayer,
        metrics: &MetricsLayer,
        timeout: &TimeoutLayer,
    ) -> Self {
        let greeter = Arc::new(greeter);
        let (one, many, well) = (greeter.clone(), greeter.clone(), greeter);
        let health = endpoint_fn(move |_, ()| {
            let greeter = well.clone();
            async move { Ok::<_, Error>(HealthReply { healthy: greeter.health().await }) }
        });
        let greeting = endpoint_fn(move |_, request: GreetingRequest| {
            let greeter = one.clone();
            async move {
                Ok::<_, Error>(GreetingReply { greeting: greeter.greeting(request.name).await? })
            }
        });
        let greet_many = endpoint_fn(move |_, request: GreetManyRequest| {
            let greeter = many.clone();
            async move {
                let greetings = greeter.greet_many(request.names, request.languages).await?;
                let replies = greetings.map(|greeting| Ok(GreetingReply { greeting }));
                Ok::<_, Error>(Streaming::iter(replies))
            }
        });
        Self {
            // Health is asked every few seconds: a line each time would drown the others.
            health: BoxEndpoint::new(health.of(&HEALTH)),
            greeting: BoxEndpoint::new(observed(&GREETING, log, metrics, timeout, greeting)),
            greet_many: BoxEndpoint::new(observed(&GREET_MANY, log, metrics, timeout, greet_many)),
        }
    }
}

/// What every method has around it, on the server and on the client.
pub fn observed<Req, S>(
    method: &'static Method,
    log: &LogLayer,
    metrics: &MetricsLayer,
    timeout: &TimeoutLayer,
    inner: S,
) -> impl Endpoint<Req, Response = S::Response, Error = Error> + use<Req, S>
where
    Req: Send + 'static,
    S: Endpoint<Req, Error = Error>,
{
    ServiceBuilder::new()
        // Those further in know what is called, and when its stream ends.
        .layer(MethodLayer::new(method))
        // One line for each call, refused ones too.
        .layer(log.clone())
        // How many there are, how they end and how long they take.
        .layer(metrics.clone())
        // No call takes longer than this, whatever the caller says.
        .layer(timeout.clone())
        .service(inner)
}

/// What stands between a client's method and the instances that serve it.
pub fn reaching<Req, S>(
    breaker: &CircuitBreakerLayer,
    retry: &RetryLayer,
    inner: S,
) -> impl Endpoint<Req, Response = S::Response, Error = Error> + use<Req, S>
where
    Req: Clone + Send + Sync + 'static,
    S: Endpoint<Req, Error = Error> + Sync,
{
    ServiceBuilder::new()
        // When the whole service fails, it is left in peace and its caller told at once.
        .layer(breaker.clone())
        // A failure that may be repeated is, with another instance.
        .layer(retry.clone())
        .service(inner)
}

impl From<GreeterError> for Error {
    fn from(error: GreeterError) -> Self {
        let (field, why) = (error.field.clone(), error.why);
        Self::new(Code::InvalidArgument, error).violation(field, why)
    }
}
