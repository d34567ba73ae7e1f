//! The HTTP transport, as its users see it.

#![allow(missing_docs, reason = "tests are named as claims")]

mod gokit_client;
mod gokit_server;
#[cfg(feature = "axum")]
mod interop;
mod router;
mod server;
mod streams;
mod wire;

use http::{Request, Response};
use purlin_endpoint::{End, Guard, How, Intercept, InterceptLayer, Observes};
use purlin_transport_http::{Body, HttpService};
use std::{
    convert::Infallible,
    panic,
    sync::{Arc, Mutex, Once},
};
use tower::ServiceExt as _;

async fn send(server: impl HttpService, request: Request<Body>) -> Response<Body> {
    match server.oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => panic!("{}", error.into()),
    }
}

async fn get(server: impl HttpService, uri: &str) -> Response<Body> {
    send(server, Request::get(uri).body(Body::empty()).unwrap()).await
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().bytes().await.unwrap().to_vec()).unwrap()
}

async fn problem(response: Response<Body>) -> serde_json::Value {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    serde_json::from_str(&text(response).await).unwrap()
}

/// Prints no panic that a test asks for.
fn expect_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !info.payload_as_str().is_some_and(|text| text.contains("secret")) {
                print(info);
            }
        }));
    });
}

/// What happened, in its order.
#[derive(Clone, Debug, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// A layer that notes how each call ends.
    fn layer(&self) -> InterceptLayer<Self, Observes> {
        InterceptLayer::observer(self.clone())
    }
}

impl<Req> Intercept<Req> for Diary {
    type Guard = Noting;
    type Refusal = Infallible;

    fn before(self: &Arc<Self>, _: &mut Req) -> Result<Noting, Infallible> {
        Ok(Noting((**self).clone()))
    }
}

struct Noting(Diary);

impl<Res, Err> Guard<Res, Err> for Noting {
    fn end(self, end: End<'_>) {
        self.0.note(match end.how() {
            How::Returned => "returned".to_owned(),
            How::Streamed(Ok(())) => "streamed".to_owned(),
            How::Streamed(Err(error)) => format!("broke off: {}", error.code()),
            How::Dropped => "dropped".to_owned(),
            How::Panicked => "panicked".to_owned(),
        });
    }
}
