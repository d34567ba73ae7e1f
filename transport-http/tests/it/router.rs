use crate::{get, problem, send, text};
use http::{Method, Request, StatusCode};
use purlin_endpoint::{Context, Error, endpoint_fn};
use purlin_transport_http::{Body, HttpService, MatchedRoute, Router, Server, decode, encode};
use tower::Service as _;

#[derive(serde::Deserialize)]
struct Id {
    id: u64,
}

fn saying(text: &'static str) -> impl HttpService {
    let endpoint = endpoint_fn(move |_: Context, ()| async move { Ok::<_, Error>(text) });
    Server::new(endpoint, decode::no_request, encode::text)
}

fn router() -> Router {
    let show = endpoint_fn(|_: Context, Id { id }| async move { Ok::<_, Error>(format!("#{id}")) });
    Router::new()
        .get("/profiles", saying("all"))
        .post("/profiles", saying("made"))
        .get("/profiles/{id}", Server::new(show, decode::path::<Id>, encode::text))
        .route(Method::DELETE, "/profiles/{id}", saying("gone"))
        .get("/profiles/me", saying("me"))
        .get("/files/{*path}", saying("file"))
}

async fn request(method: Method, path: &str) -> http::Response<Body> {
    let request = Request::builder().method(method).uri(path);
    send(router(), request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_request_finds_its_path_and_method() {
    for (method, path, answer) in [
        (Method::GET, "/profiles", "all"),
        (Method::GET, "/profiles?page=2", "all"),
        (Method::POST, "/profiles", "made"),
        (Method::GET, "/profiles/7", "#7"),
        (Method::GET, "/profiles/%37", "#7"),
        (Method::GET, "/profiles/me", "me"),
        (Method::DELETE, "/profiles/7", "gone"),
        (Method::GET, "/files/a/b", "file"),
    ] {
        let response = request(method, path).await;
        assert_eq!((response.status(), &*text(response).await), (StatusCode::OK, answer), "{path}");
    }
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    for path in ["/", "/profile", "/profiles/", "/profiles/7/addresses", "/PROFILES"] {
        let response = request(Method::GET, path).await;
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(problem(response).await["code"], "NOT_FOUND");
    }
}

#[tokio::test]
async fn a_problem_of_the_router_carries_the_request_id() {
    let request = |id: &str| Request::get("/none").header("x-request-id", id).body(Body::empty());
    let response = send(router(), request("abc").unwrap()).await;
    assert_eq!(problem(response).await["request_id"], "abc");
    let response = send(router(), request("a b").unwrap()).await;
    assert_eq!(problem(response).await.get("request_id"), None);
}

#[tokio::test]
async fn another_method_is_not_allowed_and_hears_which_are() {
    for method in [Method::PUT, Method::PATCH, Method::from_bytes(b"BREW").unwrap()] {
        let response = request(method, "/profiles").await;
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "GET, POST, HEAD, OPTIONS");
        assert_eq!(problem(response).await["code"], "UNIMPLEMENTED");
    }
}

#[tokio::test]
async fn options_are_told() {
    let response = request(Method::OPTIONS, "/profiles/7").await;
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()["allow"], "GET, DELETE, HEAD, OPTIONS");
    assert_eq!(text(response).await, "");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let response = request(Method::HEAD, "/profiles").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-length"], "3");
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(text(response).await, "");
    assert_eq!(request(Method::HEAD, "/nothing").await.status(), 404);
}

#[tokio::test]
async fn a_route_for_head_or_options_comes_first() {
    let router = Router::new()
        .get("/", saying("get"))
        .route(Method::OPTIONS, "/", saying("mine"))
        .route(Method::HEAD, "/", saying("head"));
    let options = Request::options("/").body(Body::empty()).unwrap();
    assert_eq!(text(send(router.clone(), options).await).await, "mine");
    let head = send(router.clone(), Request::head("/").body(Body::empty()).unwrap()).await;
    assert_eq!(head.headers()["content-length"], "4");
    let put = send(router, Request::put("/").body(Body::empty()).unwrap()).await;
    assert_eq!(put.headers()["allow"], "GET, OPTIONS, HEAD");
}

#[tokio::test]
async fn a_parameter_that_does_not_fit_is_a_bad_request_that_names_it() {
    let response = request(Method::GET, "/profiles/x").await;
    assert_eq!(response.status(), 400);
    assert_eq!(problem(response).await["violations"][0]["field"], "id");
}

#[tokio::test]
async fn a_fallback_answers_for_unknown_paths_only() {
    let router = router().fallback(saying("fallback"));
    assert_eq!(text(get(router.clone(), "/none").await).await, "fallback");
    let put = send(router, Request::put("/profiles").body(Body::empty()).unwrap()).await;
    assert_eq!(put.status(), 405);
}

#[tokio::test]
async fn a_nested_router_is_behind_its_prefix() {
    let outer = Router::new().get("/", saying("root")).nest("/v1/", &router());
    assert_eq!(text(get(outer.clone(), "/v1/profiles/7").await).await, "#7");
    assert_eq!(text(get(outer.clone(), "/").await).await, "root");
    assert_eq!(get(outer, "/profiles").await.status(), 404);
}

#[tokio::test]
async fn a_layer_of_a_route_sees_the_template() {
    let inner = saying("x");
    let labelled = tower::ServiceBuilder::new()
        .map_request(|request: Request<Body>| {
            let route = request.extensions().get::<MatchedRoute>().unwrap();
            assert_eq!(route.template(), "/a/{b}");
            request
        })
        .service(inner);
    let router = Router::new().get("/a/{b}", labelled);
    assert_eq!(text(get(router, "/a/1").await).await, "x");
}

#[tokio::test]
async fn a_clone_that_is_called_again_and_again_answers_the_same() {
    let mut router = router();
    for _ in 0..5 {
        let request = Request::get("/profiles/7").body(Body::empty()).unwrap();
        let response = router.call(request).await.unwrap();
        assert_eq!(text(response).await, "#7");
    }
}

#[tokio::test]
async fn a_route_that_is_not_ready_is_waited_for() {
    let slow = tower::ServiceBuilder::new().concurrency_limit(1).service(Server::new(
        endpoint_fn(|_: Context, ()| async {
            tokio::task::yield_now().await;
            Ok::<_, Error>("done")
        }),
        decode::no_request,
        encode::text,
    ));
    let router = Router::new().get("/", slow);
    let (a, b, c) =
        tokio::join!(get(router.clone(), "/"), get(router.clone(), "/"), get(router, "/"));
    for response in [a, b, c] {
        assert_eq!(text(response).await, "done");
    }
}

#[test]
#[should_panic(expected = "the route `GET /` is there already")]
fn a_route_that_is_there_already_is_a_mistake_that_shows_at_once() {
    let _ = Router::new().get("/", saying("a")).get("/", saying("b"));
}

#[test]
#[should_panic(expected = "the route `/{b}` can't be added")]
fn paths_in_conflict_are_a_mistake_that_shows_at_once() {
    let _ = Router::new().get("/{a}", saying("a")).get("/{b}", saying("b"));
}
