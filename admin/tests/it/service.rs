use crate::{GREETING, admin, body, send, state};
use http::{Request, StatusCode, header};
use purlin_admin::{Action, AdminService, Origin, Process};
use purlin_endpoint::{Inspect, Peer, Service as _};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

fn get(path: &str) -> Request<String> {
    Request::get(path).body(String::new()).unwrap()
}

fn post(path: &str, said: &str) -> Request<String> {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    request.body(said.to_owned()).unwrap()
}

/// A component that shows what it was made of.
struct Shows(&'static str);

impl Inspect for Shows {
    fn name(&self) -> String {
        "shows".to_owned()
    }

    fn snapshot(&self) -> String {
        assert!(!self.0.is_empty(), "there is nothing to show");
        self.0.to_owned()
    }
}

#[tokio::test]
async fn the_state_holds_what_main_has_collected() {
    let layer: Arc<dyn Inspect> = Arc::new(Shows(r#"{"limit":3}"#));
    let service = admin()
        .route("HTTP", "GET /greeting", &GREETING)
        .method(&GREETING, [layer])
        .component(Shows("[1,2]"))
        .setting("--http-addr", "127.0.0.1:9110", Origin::Default)
        .setting("--rate", 100, Origin::File("greeter.toml".into()))
        .service();
    let state = state(&service).await;
    assert_eq!(state["service"]["name"], "greeter");
    assert_eq!(state["service"]["version"], "1.2.3");
    let route = json!([{"transport": "HTTP", "route": "GET /greeting", "method": "greeter.Greeter/Greeting"}]);
    assert_eq!(state["routes"], route);
    let layers = json!([{"name": "shows", "state": {"limit": 3}}]);
    assert_eq!(state["methods"], json!([{"method": "greeter.Greeter/Greeting", "layers": layers}]));
    assert_eq!(state["components"], json!([{"name": "shows", "state": [1, 2]}]));
    let settings = json!([
        {"name": "--http-addr", "value": "127.0.0.1:9110", "origin": "default"},
        {"name": "--rate", "value": "100", "origin": "file greeter.toml"},
    ]);
    assert_eq!(state["settings"], settings);
}

#[tokio::test]
async fn a_setting_whose_name_speaks_of_a_secret_is_hidden() {
    let mut admin = admin();
    let names = ["--db-password", "API_KEY", "client-secret", "consul.token", "tls-private-file"];
    for name in names {
        admin = admin.setting(name, "hunter2", Origin::Environment);
    }
    let state = state(&admin.service()).await;
    assert_eq!(state["settings"].as_array().unwrap().len(), names.len());
    assert!(!state.to_string().contains("hunter2"), "{state}");
}

#[tokio::test]
async fn a_component_that_is_broken_spoils_only_its_own_part() {
    let service = admin().component(Shows("{no json")).component(Shows("")).service();
    let components = state(&service).await["components"].clone();
    let why = components[0]["state"]["error"].as_str().unwrap();
    assert!(why.starts_with("its snapshot is no JSON: "), "{why}");
    assert_eq!(components[1]["state"], json!({"error": "panicked"}));
}

#[tokio::test]
async fn the_process_shows_its_memory_and_its_tasks() {
    let service = admin().component(Process::current()).service();
    let process = state(&service).await["components"][0]["state"].clone();
    assert_eq!(process["pid"], std::process::id());
    assert_eq!(process["workers"], 1);
    if cfg!(target_os = "linux") {
        assert!(process["resident_kib"].as_u64().unwrap() > 100, "{process}");
        assert!(process["descriptors"].as_u64().unwrap() >= 3, "{process}");
    }
}

#[tokio::test]
async fn the_page_has_nothing_from_elsewhere_and_says_so() {
    let service = admin().service();
    for (path, kind) in
        [("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")]
    {
        let response = send(&service, get(path)).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert!(header("content-type").starts_with(kind), "{path}");
        assert!(header("content-security-policy").starts_with("default-src 'none';"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        let text = body(response).await;
        let foreign = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!foreign.contains("//cdn") && !foreign.contains("http://"), "{path}");
        assert!(!foreign.contains("https://") && !foreign.contains("innerHTML"), "{path}");
    }
}

#[tokio::test]
async fn head_is_answered_as_get_without_the_body_and_other_methods_are_refused() {
    let service = admin().service();
    let response = send(&service, Request::head("/").body(String::new()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_ne!(response.headers()[header::CONTENT_LENGTH], "0");
    assert_eq!(body(response).await, "");
    let response = send(&service, Request::delete("/").body(String::new()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()[header::ALLOW], "GET, HEAD");
    assert_eq!(send(&service, get("/other")).await.status(), StatusCode::NOT_FOUND);
}

async fn from(service: &AdminService, peer: Option<Peer>, host: Option<&str>) -> StatusCode {
    let mut request = get("/state.json");
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    if let Some(host) = host {
        request.headers_mut().insert(header::HOST, host.parse().unwrap());
    }
    service.clone().call(request).await.unwrap().status()
}

#[tokio::test]
async fn only_callers_on_this_machine_are_answered() {
    let local = admin().service();
    let peers = ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"];
    for peer in peers.map(|peer| Some(Peer::Tcp(peer.parse().unwrap()))) {
        assert_eq!(from(&local, peer, None).await, StatusCode::OK);
    }
    assert_eq!(from(&local, Some(Peer::Unix), None).await, StatusCode::OK);
    let far = Some(Peer::Tcp("192.0.2.7:1".parse().unwrap()));
    assert_eq!(from(&local, far.clone(), None).await, StatusCode::FORBIDDEN);
    assert_eq!(from(&local, None, None).await, StatusCode::FORBIDDEN);

    let remote = admin().allow_remote().service();
    assert_eq!(from(&remote, far, Some("greeter.example")).await, StatusCode::OK);
}

#[tokio::test]
async fn a_name_that_somebody_pointed_at_this_machine_gets_nothing() {
    let service = admin().service();
    for host in ["localhost", "localhost:9200", "127.0.0.1:9200", "[::1]:9200", "[::1]", "::1"] {
        assert_eq!(from(&service, Some(Peer::Memory), Some(host)).await, StatusCode::OK, "{host}");
    }
    for host in ["evil.example", "evil.example:9200", "localhost.evil.example", "127.0.0.1.nip.io"]
    {
        let status = from(&service, Some(Peer::Memory), Some(host)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{host}");
    }
}

fn counting() -> (Arc<AtomicU32>, Action) {
    let done = Arc::new(AtomicU32::new(0));
    let count = done.clone();
    let action = Action::new("count", "Counts").number("by", "1").run(move |input| {
        let by = input.number("by") as u32;
        Ok(format!("it was {}", count.fetch_add(by, Ordering::Relaxed)))
    });
    (done, action)
}

#[tokio::test]
async fn nothing_is_done_unless_actions_are_enabled() {
    let (done, action) = counting();
    let service = admin().action(action).service();
    let response = send(&service, post("/actions/count", "{}")).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(done.load(Ordering::Relaxed), 0);
    assert_eq!(state(&service).await["actions"], json!([]));
}

#[tokio::test]
async fn an_enabled_action_is_offered_and_done() {
    let (done, action) = counting();
    let service = admin().action(action).enable_actions().service();
    let offered = state(&service).await["actions"].clone();
    let field = json!({"name": "by", "kind": "number", "choices": [], "preset": "1"});
    assert_eq!(offered, json!([{"name": "count", "about": "Counts", "fields": [field]}]));
    let response = send(&service, post("/actions/count", r#"{"by":"3"}"#)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(body(response).await, r#"{"said":"it was 0"}"#);
    send(&service, post("/actions/count", "{}")).await;
    assert_eq!(done.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn what_is_wrong_with_an_action_is_named_and_nothing_is_done() {
    let (done, action) = counting();
    let service = admin().action(action).enable_actions().service();
    let refused = async |request| {
        let response = send(&service, request).await;
        (response.status().as_u16(), body(response).await)
    };
    let (status, why) = refused(post("/actions/other", "{}")).await;
    assert_eq!((status, &*why), (404, r#"{"error":"there is no action `other`"}"#));
    let (status, why) = refused(post("/actions/count", r#"{"by":"many"}"#)).await;
    assert_eq!((status, &*why), (400, r#"{"error":"by: `many` is no number"}"#));
    let (status, why) = refused(post("/actions/count", r#"{"to":"1"}"#)).await;
    assert_eq!((status, &*why), (400, r#"{"error":"there is no field `to`"}"#));
    assert_eq!(refused(post("/actions/count", "[")).await.0, 400);
    assert_eq!(refused(post("/actions/count", &"x".repeat(20_000))).await.0, 413);
    assert_eq!(refused(get("/actions/count")).await.0, 405);
    assert_eq!(done.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_page_from_elsewhere_cannot_act() {
    let (done, action) = counting();
    let service = admin().action(action).enable_actions().service();
    // What a form can send without asking.
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let request = Request::post("/actions/count").header(header::CONTENT_TYPE, kind);
        let response = send(&service, request.body("{}".to_owned()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let mut request = post("/actions/count", "{}");
    request.headers_mut().insert(header::HOST, "127.0.0.1:9200".parse().unwrap());
    request.headers_mut().insert(header::ORIGIN, "http://evil.example".parse().unwrap());
    assert_eq!(send(&service, request).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(done.load(Ordering::Relaxed), 0);

    let mut request = post("/actions/count", "{}");
    request.headers_mut().insert(header::HOST, "127.0.0.1:9200".parse().unwrap());
    request.headers_mut().insert(header::ORIGIN, "http://127.0.0.1:9200".parse().unwrap());
    assert_eq!(send(&service, request).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_is_mounted_is_served_and_linked() {
    let service = admin().text("/metrics", "text/plain; version=0.0.4", || "up 1\n".into());
    let service = service.service();
    let response = send(&service, get("/metrics")).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; version=0.0.4");
    assert_eq!(body(response).await, "up 1\n");
    assert_eq!(state(&service).await["pages"], json!(["/metrics"]));
    let response = send(&service, post("/metrics", "")).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}
