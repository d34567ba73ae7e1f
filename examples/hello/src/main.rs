//! The whole service of the README.

use purlin::log::{LogLayer, Logger};
use purlin::transport_http::{Router, Server, decode, encode};
use purlin::{Context, Error, MethodLayer, serve};

static GREET: purlin::Method = purlin::Method::unary("hello.Hello", "Greet");

#[derive(serde::Deserialize)]
struct Who {
    name: String,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let log = LogLayer::new(Logger::logfmt(std::io::stderr()));
    let greet = purlin::endpoint_fn(|_: Context, who: Who| async move {
        Ok::<_, Error>(serde_json::json!({ "greeting": format!("Hello, {}!", who.name) }))
    });
    let greet =
        tower::ServiceBuilder::new().layer(MethodLayer::new(&GREET)).layer(log).service(greet);
    let server = Server::new(greet, decode::query::<Who>, encode::json).method(&GREET);
    let router = Router::new().get("/greet", server);
    let port = tokio::net::TcpListener::bind("127.0.0.1:9180").await?;
    serve::Server::new().serve(port, router, std::future::pending()).await;
    Ok(())
}
