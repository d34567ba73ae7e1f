//! The layer for HTTP around an axum router, which knows its templates.

use crate::counted;
use ::axum::{Router, body::Body, extract::MatchedPath, routing::get};
use http::{Request, StatusCode};
use purlin_metrics::{HttpMetricsLayer, MetricsLayer, Registry};
use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
};
use tower::{Layer as _, ServiceExt as _};

const DURATION: &str = "http.server.request.duration";

fn router(registry: &Registry) -> Router {
    let layer = HttpMetricsLayer::new(registry.clone())
        .https()
        .route(|extensions| Some(extensions.get::<MatchedPath>()?.as_str()));
    Router::new()
        .route("/users/{id}", get(async || "hello"))
        .route("/broken", get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .layer(layer)
}

async fn ask(router: &Router, method: &str, path: &str) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    router.clone().oneshot(request).await.unwrap();
}

#[tokio::test]
async fn requests_are_counted_by_template_method_and_status() {
    let registry = Registry::new();
    let router = router(&registry);
    for path in ["/users/1", "/users/2", "/broken", "/nowhere"] {
        ask(&router, "GET", path).await;
    }
    let labels: Vec<_> = counted(&registry, DURATION)
        .into_iter()
        .map(|(labels, count, _)| (labels, count))
        .collect();
    let get = "http.request.method=GET,http.response.status_code";
    assert_eq!(
        labels,
        [
            (format!("{get}=200,http.route=/users/{{id}},url.scheme=https"), 2),
            (format!("error.type=500,{get}=500,http.route=/broken,url.scheme=https"), 1),
            (format!("{get}=404,url.scheme=https"), 1),
        ]
    );
}

#[tokio::test]
async fn random_paths_methods_and_headers_add_one_value_at_most() {
    let registry = Registry::new();
    let router = router(&registry);
    let mut seed = fastrand::Rng::with_seed(7);
    for _ in 0..1000 {
        let word: String = (0..12).map(|_| seed.uppercase()).collect();
        let request = Request::builder()
            .method(&*word)
            .uri(format!("/{word}"))
            .header("user-agent", &word)
            .header(&word, &word)
            .body(Body::empty())
            .unwrap();
        router.clone().oneshot(request).await.unwrap();
    }
    let counted = counted(&registry, DURATION);
    let labels: HashSet<_> = counted.iter().map(|(labels, ..)| &**labels).collect();
    let expected = "http.request.method=_OTHER,http.response.status_code=404,url.scheme=https";
    assert_eq!((labels, counted[0].1), (HashSet::from([expected]), 1000));
}

#[tokio::test]
async fn a_request_without_a_response_says_why() {
    let registry = Registry::new();
    let fails = |_: Request<()>| async { Err::<http::Response<()>, _>("broken") };
    let layer = HttpMetricsLayer::new(registry.clone());
    layer.layer(tower::service_fn(fails)).oneshot(Request::new(())).await.unwrap_err();
    let waits = |_: Request<()>| std::future::pending::<Result<http::Response<()>, &str>>();
    drop(tower::Service::call(&mut layer.layer(tower::service_fn(waits)), Request::new(())));
    let errors: Vec<_> = counted(&registry, DURATION)
        .into_iter()
        .map(|(labels, ..)| labels.split(',').next().unwrap().to_owned())
        .collect();
    assert_eq!(errors, ["error.type=error", "error.type=cancelled"]);
}

#[tokio::test]
async fn a_client_counts_by_the_server_that_it_asks() {
    let registry = Registry::new();
    let layer = HttpMetricsLayer::new(registry.clone()).client().route(|_| Some("/never"));
    let refuses = |_: Request<()>| async {
        Ok::<_, Infallible>(http::Response::builder().status(404).body(()).unwrap())
    };
    let client = layer.layer(tower::service_fn(refuses));
    for uri in ["http://a.example/1?x", "http://a.example:80/2", "https://a.example/", "/nobody"] {
        let request = Request::get(uri).body(()).unwrap();
        client.clone().oneshot(request).await.unwrap();
    }
    let of = |server: &str| {
        format!("error.type=404,http.request.method=GET,http.response.status_code=404,{server}")
    };
    let expected: HashMap<_, _> = [
        (of("server.address=a.example,server.port=80"), 2),
        (of("server.address=a.example,server.port=443"), 1),
        (of("server.address=_OTHER"), 1),
    ]
    .into();
    let counted = counted(&registry, "http.client.request.duration");
    let counted: HashMap<_, _> = counted.into_iter().map(|(labels, n, ..)| (labels, n)).collect();
    assert_eq!(counted, expected);
}

#[tokio::test]
async fn servers_that_a_client_asks_are_told_apart_up_to_a_limit() {
    let registry = Registry::new();
    let ok = |_: Request<()>| async { Ok::<_, Infallible>(http::Response::new(())) };
    let client = HttpMetricsLayer::new(registry.clone()).client().layer(tower::service_fn(ok));
    for n in 0..1000 {
        let request = Request::get(format!("http://10.0.{}.{}/", n / 250, n % 250));
        client.clone().oneshot(request.body(()).unwrap()).await.unwrap();
    }
    let counted = counted(&registry, "http.client.request.duration");
    let others = counted.iter().find(|(labels, ..)| labels.contains("_OTHER")).map(|it| it.1);
    assert_eq!((counted.len(), others), (257, Some(1000 - 256)));
}

#[tokio::test]
async fn the_layer_for_calls_fits_a_router_too() {
    let registry = Registry::new();
    let layer = MetricsLayer::new(registry.clone()).classify(purlin_endpoint::ByStatus);
    let router = Router::new().route("/", get(async || "hello")).layer(layer);
    ask(&router, "GET", "/").await;
    assert_eq!(counted(&registry, "rpc.server.call.duration")[0].1, 1);
}
