//! The page over HTTP, what it watches, and the faults that it sets.

mod faults;
mod service;
mod watch;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use purlin_admin::{Admin, AdminService};
use purlin_endpoint::{Method, Peer, Service as _};
use serde_json::Value;

static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");

/// Sends a request from this machine.
async fn send(service: &AdminService, mut request: Request<String>) -> Response<Full<Bytes>> {
    request.extensions_mut().insert(Peer::Tcp(([127, 0, 0, 1], 4711).into()));
    service.clone().call(request).await.unwrap()
}

async fn body(response: Response<Full<Bytes>>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What the page gets to show.
async fn state(service: &AdminService) -> Value {
    let request = Request::get("/state.json").body(String::new()).unwrap();
    let response = send(service, request).await;
    assert_eq!(response.status(), StatusCode::OK);
    serde_json::from_str(&body(response).await).unwrap()
}

fn admin() -> Admin {
    Admin::new("greeter", "1.2.3")
}
