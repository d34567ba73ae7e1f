//! Spans on their way to OpenTelemetry.

mod converted;
mod current;
mod foreign;

use purlin_endpoint::{
    Code, Context, Endpoint as _, Error, Layer as _, Method, MethodLayer, Peer, endpoint_fn,
};
use purlin_tracing::{Tracer, TracingLayer};
use tower::ServiceBuilder;

static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");

/// Calls a server within a client, and fails. Returns the id of the trace.
async fn call(tracer: &Tracer, context: Context) -> String {
    let server = ServiceBuilder::new()
        .layer(MethodLayer::new(&GREETING))
        .layer(TracingLayer::server(tracer))
        .service(endpoint_fn(|context: Context, ()| async move {
            let trace = context.trace().unwrap().trace_id().to_string();
            Err::<(), _>(Error::internal("out of paper").member("trace", trace))
        }));
    let client = TracingLayer::client(tracer).name(|_| "greet").layer(endpoint_fn(
        move |context: Context, ()| {
            let server = server.clone();
            let peer = Peer::Tcp("10.0.0.7:4711".parse().unwrap());
            async move { server.invoke(context.outgoing().with_peer(peer), ()).await }
        },
    ));
    let error = client.invoke(context, ()).await.unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    error.members().next().unwrap().1.to_owned()
}
