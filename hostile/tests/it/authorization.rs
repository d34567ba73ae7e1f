//! Whoever asks, however the question is put: only what a rule allows is run.
//!
//! Each request goes to two servers that differ in the layer alone. The open one says which method it
//! has run; the guarded one has to run the same if the policy allows it, and else to refuse.

use crate::asked::Asked;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version};
use purlin_auth::{
    Authenticate as _, Credentials, Principal, Scheme,
    jwt::{Algorithm, Jwt, Key, SigningKey},
    rbac::{Policy, Rbac, RbacLayer, Role},
};
use purlin_endpoint::{Context, Endpoint, Error, Method, Service as _, endpoint_fn};
use purlin_hostile::Payload;
use purlin_transport_grpc::Server as GrpcServer;
use purlin_transport_http::{Body, Router, Server, decode, encode};
use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tower::Layer as _;

static LIST: Method = Method::unary("shop.Catalog", "List");
static ITEM: Method = Method::unary("shop.Catalog", "Item");
static SAVE: Method = Method::unary("shop.Catalog", "Save");
static ADMIN: Method = Method::unary("shop.Admin", "Show");
static DELETE: Method = Method::unary("shop.Admin", "Delete");
const ALL: [&Method; 5] = [&LIST, &ITEM, &SAVE, &ADMIN, &DELETE];

/// What anybody may call: the catalogue, but for saving to it.
fn policy() -> Policy {
    let reader = Role::new().allow("shop.Catalog/*").deny("shop.Catalog/Save");
    let admin = Role::new().allow("**");
    Policy::new()
        .role("reader", reader)
        .role("admin", admin)
        .subject("anyone", ["reader"])
        .subject("basic:root", ["admin"])
        .subject("tls:spiffe://shop/admin", ["admin"])
}

fn may(method: &str) -> bool {
    matches!(method, "shop.Catalog/List" | "shop.Catalog/Item")
}

/// Says which method it is.
fn says(
    method: &'static Method,
    guard: Option<&RbacLayer>,
) -> impl Endpoint<(), Response = String, Error = Error> + use<> {
    let say = endpoint_fn(move |_: Context, ()| async move { Ok::<_, Error>(method.to_string()) });
    match guard {
        Some(guard) => purlin_endpoint::BoxEndpoint::new(guard.layer(say)),
        None => purlin_endpoint::BoxEndpoint::new(say),
    }
}

fn http(guard: Option<&RbacLayer>) -> Router {
    let mount = |method: &'static Method| {
        let says = says(method, guard);
        let encode = |context: &Context, text: String| encode::raw(context, Bytes::from(text));
        Server::new(says, decode::no_request, encode)
            .method(method)
            // The names of credentials are read, and nobody checks them here.
            .before(|context, head| purlin_auth::extract(&head.headers, context))
    };
    Router::new()
        .get("/items", mount(&LIST))
        .get("/items/{id}", mount(&ITEM))
        .post("/items/{id}", mount(&SAVE))
        .get("/admin", mount(&ADMIN))
        .get("/admin/log/{*path}", mount(&ADMIN))
        .route(http::Method::DELETE, "/admin/{id}", mount(&DELETE))
}

fn grpc(guard: Option<&RbacLayer>) -> GrpcServer {
    ALL.iter().fold(GrpcServer::new(), |server, method| {
        let decode = |_: Payload| Ok::<_, Error>(());
        let encode = |text: String| Ok::<_, Error>(Payload { bytes: text.into() });
        server.unary(method, says(method, guard), decode, encode)
    })
}

/// The method that was run, or what came instead of it.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Ran(String),
    Refused,
    Other(String),
}

/// What the guarded server has to do where the open one did this.
fn expected(open: Outcome) -> Outcome {
    match open {
        Outcome::Ran(method) if may(&method) => Outcome::Ran(method),
        Outcome::Ran(_) => Outcome::Refused,
        other => other,
    }
}

async fn ask_http(router: &mut Router, request: Request<Body>) -> Outcome {
    let head = request.method() == http::Method::HEAD;
    let response: Response<Body> = router.call(request).await.unwrap();
    match response.status().as_u16() {
        // What HEAD has run is told by the length of what GET would have said.
        200 if head => Outcome::Other("head".to_owned()),
        200 => {
            let said = response.into_body().bytes().await.unwrap();
            Outcome::Ran(String::from_utf8(said.to_vec()).unwrap())
        }
        403 => Outcome::Refused,
        status => Outcome::Other(status.to_string()),
    }
}

async fn ask_grpc(server: &mut GrpcServer, request: Request<Body>) -> Outcome {
    let response = server.call(request).await.unwrap();
    let status = response.status();
    let code = response.headers().get("grpc-status").cloned();
    let collected = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
    let trailer = collected.trailers().and_then(|it| it.get("grpc-status").cloned());
    let bytes = collected.to_bytes();
    match trailer.or(code).as_ref().and_then(|code| code.to_str().ok()) {
        // Behind the frame's five bytes, the field's tag and its length.
        Some("0") => Outcome::Ran(String::from_utf8(bytes[7..].to_vec()).unwrap()),
        Some("7") => Outcome::Refused,
        code => Outcome::Other(format!("{status} {code:?}")),
    }
}

/// How often each outcome has to be seen, so that the test is about something.
#[derive(Debug, Default)]
struct Seen {
    ran: u64,
    refused: u64,
    other: u64,
}

impl Seen {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Ran(_) => self.ran += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Other(_) => self.other += 1,
        }
    }

    fn check(&self, of: u64) {
        assert!(self.ran > of / 50 && self.refused > of / 50 && self.other > of / 50, "{self:?}");
    }
}

#[tokio::test]
async fn whatever_is_asked_in_memory_only_what_is_allowed_is_run() {
    let requests: u64 = 1_000_000;
    let guard = Rbac::new(policy()).layer().unwrap();
    let (mut open, mut guarded) = (http(None), http(Some(&guard)));
    let (mut open_grpc, mut guarded_grpc) = (grpc(None), grpc(Some(&guard)));
    let mut rng = fastrand::Rng::with_seed(8);
    let (mut seen, mut seen_grpc) = (Seen::default(), Seen::default());
    // An empty message in its frame.
    let frame = Bytes::from_static(&[0; 5]);
    for _ in 0..requests / 2 {
        let asked = Asked::random(&mut rng);
        let (Some(one), Some(other)) = (asked.request(&Bytes::new()), asked.request(&Bytes::new()))
        else {
            continue;
        };
        let (found, wanted) =
            (ask_http(&mut guarded, one).await, expected(ask_http(&mut open, other).await));
        // What HEAD would run is the open one's to say.
        let denied_head = wanted == Outcome::Other("head".to_owned()) && found == Outcome::Refused;
        assert!(found == wanted || denied_head, "{} {}: {found:?}", asked.method, asked.path);
        seen.count(&found);

        let grpc = |request: Option<Request<Body>>| {
            let mut request = request.unwrap();
            *request.version_mut() = Version::HTTP_2;
            // Else nothing would ever be run: the path is what is asked.
            *request.method_mut() = http::Method::POST;
            request
                .headers_mut()
                .insert("content-type", HeaderValue::from_static("application/grpc"));
            request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
            request
        };
        let (one, other) = (grpc(asked.request(&frame)), grpc(asked.request(&frame)));
        let (found, wanted) = (
            ask_grpc(&mut guarded_grpc, one).await,
            expected(ask_grpc(&mut open_grpc, other).await),
        );
        assert_eq!(found, wanted, "{} {}", asked.method, asked.path);
        seen_grpc.count(&found);
    }
    seen.check(requests / 2);
    seen_grpc.check(requests / 2);
}

/// Sends a request as it stands, and reads the answer to its end.
async fn ask_socket(connection: &mut Option<TcpStream>, port: u16, text: &[u8]) -> (u16, String) {
    let stream = match connection {
        Some(stream) => stream,
        None => connection.insert(TcpStream::connect(("127.0.0.1", port)).await.unwrap()),
    };
    stream.write_all(text).await.unwrap();
    let mut read = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = timeout(Duration::from_secs(10), stream.read(&mut chunk)).await;
        let asked = String::from_utf8_lossy(text);
        let count = count.unwrap_or_else(|_| panic!("no answer to {asked:?}: {read:?}")).unwrap();
        read.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let head_only = text.split_once("\r\n\r\n");
        let length = head_only.and_then(|(head, _)| {
            let head = head.to_ascii_lowercase();
            head.lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())
        });
        let done = match (head_only, length) {
            (Some((_, body)), Some(length)) => body.len() >= length,
            // What OPTIONS is answered with has no body.
            (Some((head, _)), None) => head.starts_with("HTTP/1.1 204 "),
            _ => false,
        };
        if done || count == 0 {
            let status = text.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(0);
            let body = head_only.map(|(_, body)| body.to_owned()).unwrap_or_default();
            if count == 0 || text.to_ascii_lowercase().contains("connection: close") {
                *connection = None;
            }
            return (status, body);
        }
    }
}

async fn listen(router: Router) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = purlin_serve::Server::new();
    tokio::spawn(async move { server.serve(listener, router, std::future::pending()).await });
    port
}

#[tokio::test]
async fn whatever_is_asked_over_a_socket_only_what_is_allowed_is_run() {
    let guard = Rbac::new(policy()).layer().unwrap();
    let (open, guarded) = (listen(http(None)).await, listen(http(Some(&guard))).await);
    let (mut to_open, mut to_guarded) = (None, None);
    let mut rng = fastrand::Rng::with_seed(9);
    let (mut seen, requests) = (Seen::default(), 10_000);
    for _ in 0..requests {
        let asked = Asked::random(&mut rng);
        // A response to HEAD says a length and has no body.
        let method = if asked.method == "HEAD" { "GET" } else { asked.method };
        // Now and then the whole address is asked for, as through a proxy.
        let base = if rng.u8(..10) == 0 { "http://shop.test" } else { "" };
        let mut text = format!("{method} {base}{} HTTP/1.1\r\nhost: shop.test\r\n", asked.path);
        for (name, value) in asked.headers.iter().filter(|(name, _)| *name != "host") {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text.push_str("\r\n");
        let outcome = |(status, body)| match status {
            200 => Outcome::Ran(body),
            403 => Outcome::Refused,
            status => Outcome::Other(status.to_string()),
        };
        let found = outcome(ask_socket(&mut to_guarded, guarded, text.as_bytes()).await);
        let wanted = expected(outcome(ask_socket(&mut to_open, open, text.as_bytes()).await));
        assert_eq!(found, wanted, "{text}");
        seen.count(&found);
    }
    seen.check(requests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_policy_that_is_swapped_under_load_never_decides_wrongly() {
    // Both allow LIST and deny DELETE; what they differ in changes under way.
    let one = policy();
    let other = Policy::new()
        .role("other", Role::new().allow("shop.**").deny("shop.Admin/Delete"))
        .subject("anyone", ["other"]);
    let guard = Rbac::new(one.clone()).layer().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let callers = [(&LIST, true), (&DELETE, false)].map(|(method, allowed)| {
        let (endpoint, stop) = (says(method, Some(&guard)), stop.clone());
        tokio::spawn(async move {
            let (mut calls, mut wrong) = (0_u64, 0_u64);
            while !stop.load(Ordering::Relaxed) {
                let context = Context::new().with_method(method);
                wrong += u64::from(endpoint.invoke(context, ()).await.is_ok() != allowed);
                calls += 1;
                if calls.is_multiple_of(100) {
                    tokio::task::yield_now().await;
                }
            }
            (calls, wrong)
        })
    });
    let handle = guard.handle();
    for swap in 0..100_000 {
        let policy = if swap % 2 == 0 { &other } else { &one };
        handle.update(policy.clone()).unwrap();
        if swap % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        let (calls, wrong) = caller.await.unwrap();
        assert!(calls > 100, "{calls}");
        assert_eq!(wrong, 0);
    }
}

#[tokio::test]
async fn only_a_layer_says_who_calls() {
    let guard = Rbac::new(policy()).layer().unwrap();
    let admin = says(&ADMIN, Some(&guard));
    let claimed = Context::new().with_method(&ADMIN).with(Credentials::new("Basic cm9vdDpyb290"));
    admin.invoke(claimed, ()).await.unwrap_err();
    let known = Context::new().with_method(&ADMIN).with(Principal::new(Scheme::Basic, "root"));
    admin.invoke(known, ()).await.unwrap();
}

/// The HTTP status and the gRPC code that a call is answered with that shows these values.
async fn shown(values: &[&[u8]]) -> (u16, String) {
    let secret = [7; 32];
    let jwt = Jwt::new([Algorithm::Hs256], "issuer", "shop").unexpiring();
    let layer = jwt.verifier::<serde_json::Value>(Key::secret(&secret).unwrap()).unwrap().layer();
    let list = layer.layer(says(&LIST, None));
    let encode = |context: &Context, text: String| encode::raw(context, Bytes::from(text));
    let http = Server::new(list.clone(), decode::no_request, encode)
        .method(&LIST)
        .before(|context, head| purlin_auth::extract(&head.headers, context));
    let grpc = GrpcServer::new()
        .unary(
            &LIST,
            list,
            |_: Payload| Ok::<_, Error>(()),
            |text: String| Ok::<_, Error>(Payload { bytes: text.into() }),
        )
        .before(|context, metadata| purlin_auth::extract(metadata, context));
    let key = SigningKey::secret(Algorithm::Hs256, &secret).unwrap();
    let good = key.sign(&serde_json::json!({ "iss": "issuer", "aud": "shop", "sub": "ann" }));
    let good = format!("Bearer {}", good.unwrap());
    let asked = |request: http::request::Builder, body: Bytes| {
        let values = values.iter().map(|value| match *value {
            b"good" => HeaderValue::from_str(&good).unwrap(),
            other => HeaderValue::from_bytes(other).unwrap(),
        });
        let request = values.fold(request, |request, value| request.header("authorization", value));
        request.body(Body::from(body)).unwrap()
    };
    let mut http = Router::new().get("/items", http);
    let response = http.call(asked(Request::get("/items"), Bytes::new())).await.unwrap();
    let request = Request::post("/shop.Catalog/List")
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let mut grpc = grpc;
    let frame = Bytes::from_static(&[0; 5]);
    let outcome = ask_grpc(&mut grpc, asked(request, frame)).await;
    (response.status().as_u16(), format!("{outcome:?}"))
}

#[tokio::test]
async fn a_good_token_beside_another_value_is_refused_whatever_that_value_is() {
    let (status, outcome) = shown(&[b"good"]).await;
    assert_eq!((status, &*outcome), (200, "Ran(\"shop.Catalog/List\")"));
    for beside in [&b"good"[..], b"", b"Basic YTpi", b"Bearer \xff", b"\xc3\xbc", b"\x80", b"\t"] {
        for values in [[b"good", beside], [beside, b"good"]] {
            let (status, outcome) = shown(&values).await;
            assert!(status == 401 && outcome.contains("16"), "{values:?}: {status} {outcome}");
        }
    }
}
