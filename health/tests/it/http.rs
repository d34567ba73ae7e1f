use http::{Method, Request, Response, header};
use http_body_util::BodyExt as _;
use purlin_health::Health;
use tower::ServiceExt as _;

async fn ask(health: &Health, method: Method, uri: &str) -> (u16, Response<()>, String) {
    let request = Request::builder().method(method).uri(uri).body(()).unwrap();
    let response = health.service().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (parts.status.as_u16(), Response::from_parts(parts, ()), text)
}

#[tokio::test]
async fn readiness_is_200_or_503_with_the_names_of_what_failed_and_nothing_of_why() {
    let health = Health::new();
    let gate = health.gate("registry");
    gate.close("the password is swordfish");
    let (status, head, body) = ask(&health, Method::GET, "/readyz").await;
    assert_eq!((status, &*body), (503, "not ready: registry\n"));
    assert_eq!(head.headers()[header::CACHE_CONTROL], "no-store");
    gate.open();
    assert_eq!(ask(&health, Method::GET, "/readyz").await.2, "ready\n");
    health.set_serving(false);
    assert_eq!(ask(&health, Method::GET, "/readyz").await.2, "not ready: serving\n");
    assert_eq!(ask(&health, Method::GET, "/livez").await.0, 200);
}

#[tokio::test]
async fn who_asks_verbosely_gets_all_of_it_as_json() {
    let health = Health::new();
    health.gate("registry");
    for uri in ["/readyz?verbose", "/readyz?a=b&verbose=1"] {
        let (status, head, body) = ask(&health, Method::GET, uri).await;
        assert_eq!(status, 503);
        assert_eq!(head.headers()[header::CONTENT_TYPE], "application/json");
        assert_eq!(
            body,
            r#"{"ready":false,"checks":[{"name":"registry","ok":false,"why":"not open yet","took_ms":0}]}"#
        );
    }
    assert_eq!(ask(&health, Method::GET, "/readyz?nonverbose").await.2, "not ready: registry\n");
}

#[tokio::test]
async fn head_is_answered_as_get_is_without_the_body() {
    let (status, head, body) = ask(&Health::new(), Method::HEAD, "/readyz").await;
    assert_eq!((status, &*body), (200, ""));
    assert_eq!(head.headers()[header::CONTENT_LENGTH], "6");
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let health = Health::new();
    let (status, head, _) = ask(&health, Method::POST, "/readyz").await;
    assert_eq!((status, &head.headers()[header::ALLOW]), (405, &"GET, HEAD".parse().unwrap()));
    assert_eq!(ask(&health, Method::DELETE, "/livez").await.0, 405);
    assert_eq!(ask(&health, Method::GET, "/").await.0, 404);
    assert_eq!(ask(&health, Method::GET, "/readyz/").await.0, 404);
}
