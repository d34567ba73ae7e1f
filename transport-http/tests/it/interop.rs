//! Our servers and layers in an axum router, and axum's extractors in our servers.

use crate::{problem, text};
use axum::{
    Json,
    extract::{Path, Query, State},
    routing::{MethodRouter, get, get_service},
};
use http::{HeaderValue, Request, Response, StatusCode};
use purlin_endpoint::{
    Code, Context, Error, Intercept, InterceptLayer, Layer as _, Method, MethodLayer, endpoint_fn,
};
use purlin_transport_http::{
    Body, Server,
    axum::{extract, respond},
    decode, encode,
};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};
use tower::ServiceExt as _;

static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");

/// Lets so many calls in, ever.
struct Quota(AtomicU32);

#[derive(Debug)]
struct Spent;

impl From<Spent> for Error {
    fn from(_: Spent) -> Self {
        Self::new(Code::ResourceExhausted, "no more for today")
    }
}

impl<Req> Intercept<Req> for Quota {
    type Guard = ();
    type Refusal = Spent;

    fn before(self: &Arc<Self>, _: &mut Req) -> Result<(), Spent> {
        self.0
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
            .map_or(Err(Spent), |_| Ok(()))
    }
}

async fn fetch(router: &axum::Router, uri: &str) -> Response<Body> {
    let request = Request::get(uri).body(axum::body::Body::empty()).unwrap();
    router.clone().oneshot(request).await.unwrap().map(Body::new)
}

#[tokio::test]
async fn one_layer_stands_around_an_endpoint_and_around_an_axum_route() {
    let quota = InterceptLayer::new(Quota(AtomicU32::new(2)));
    let endpoint = endpoint_fn(|_: Context, ()| async { Ok::<_, Error>("ours") });
    let ours = Server::new(quota.layer(endpoint), decode::no_request, encode::text);
    let theirs: MethodRouter = get(async || "theirs");
    let refuse = |spent: Spent| {
        encode::problem(&Context::default(), &spent.into()).map(axum::body::Body::new)
    };
    let router = axum::Router::new()
        .route("/ours", get_service(ours))
        .route("/theirs", theirs.layer(quota.clone().respond(refuse)))
        .layer(MethodLayer::new(&GREETING));
    assert_eq!(text(fetch(&router, "/ours").await).await, "ours");
    assert_eq!(text(fetch(&router, "/theirs").await).await, "theirs");
    for path in ["/ours", "/theirs"] {
        let response = fetch(&router, path).await;
        assert_eq!(response.status(), 429, "{path}");
        assert_eq!(problem(response).await["detail"], "no more for today");
    }
}

#[tokio::test]
async fn a_server_stands_under_layers_of_tower_http() {
    let endpoint = endpoint_fn(|_: Context, ()| async { Ok::<_, Error>("ours") });
    let server = tower::ServiceBuilder::new()
        .layer(tower_http::trace::TraceLayer::new_for_http())
        .layer(tower_http::set_header::SetResponseHeaderLayer::overriding(
            http::header::SERVER,
            HeaderValue::from_static("purlin"),
        ))
        .service(Server::new(endpoint, decode::no_request, encode::text));
    let router = purlin_transport_http::Router::new().get("/", server);
    let response = crate::get(router, "/").await;
    assert_eq!(response.headers()["server"], "purlin");
    assert_eq!(text(response).await, "ours");
}

#[derive(serde::Deserialize)]
struct Name {
    name: String,
}

#[tokio::test]
async fn an_extractor_decodes_with_its_state() {
    type Extracted = (Path<u32>, State<&'static str>, Query<Name>);
    let endpoint = endpoint_fn(|_: Context, extracted: Extracted| async move {
        let (Path(id), State(greeting), Query(Name { name })) = extracted;
        Ok::<_, Error>((
            StatusCode::CREATED,
            [("x-id", id.to_string())],
            format!("{greeting} {name}"),
        ))
    });
    let server = Server::new(endpoint, extract::<Extracted, _, _>("Hello"), respond);
    let router = axum::Router::new().route("/{id}", get_service(server));
    let response = fetch(&router, "/7?name=Ann").await;
    assert_eq!(
        (response.status(), response.headers()["x-id"].to_str().unwrap()),
        (StatusCode::CREATED, "7")
    );
    assert_eq!(text(response).await, "Hello Ann");
}

#[tokio::test]
async fn a_rejection_is_a_problem_with_its_status_and_text() {
    let endpoint =
        endpoint_fn(|_: Context, Json(Name { name })| async move { Ok::<_, Error>(name) });
    let server = Server::new(endpoint, extract::<Json<Name>, _, _>(()), respond);
    let response = crate::get(server, "/").await;
    assert_eq!(response.status(), 415);
    let problem = problem(response).await;
    assert_eq!(problem["code"], "INVALID_ARGUMENT");
    assert!(problem["detail"].as_str().unwrap().contains("Content-Type"));
}
