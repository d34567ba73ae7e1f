//! The floor: hyper's HTTP/1 connection and a `match`.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::greeter::{Greeting, Name, greet};
use super::{Options, Serving};

pub(super) fn serve(listener: TcpListener, _: Options) -> Serving {
    Box::pin(async move {
        loop {
            let (stream, _) = listener.accept().await?;
            // A connection that fails concerns its client only, and the runner counts errors there.
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer)),
            );
        }
    })
}

async fn answer(request: Request<Incoming>) -> http::Result<Response<Full<Bytes>>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/greeting") => greeting(request.uri().query().unwrap_or_default()),
        _ => status(StatusCode::NOT_FOUND),
    }
}

fn greeting(query: &str) -> http::Result<Response<Full<Bytes>>> {
    let Ok(Name { name }) = serde_urlencoded::from_str(query) else {
        return status(StatusCode::BAD_REQUEST);
    };
    match serde_json::to_vec(&Greeting { greeting: greet(&name) }) {
        Ok(body) => Response::builder()
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body))),
        Err(_) => status(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn status(status: StatusCode) -> http::Result<Response<Full<Bytes>>> {
    Response::builder().status(status).body(Full::default())
}
