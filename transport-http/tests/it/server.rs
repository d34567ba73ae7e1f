use crate::{Diary, expect_panics, get, problem, send, text};
use http::{Request, StatusCode};
use http_body::Frame;
use purlin_endpoint::{
    Call as _, Code, Context, Error, Identity, Layer as _, Method, Peer, endpoint_fn,
};
use purlin_transport_http::{Body, HttpService, Server, decode, encode};
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context as Task, Poll},
    time::Duration,
};
use tokio::time::Instant;
use tower::ServiceExt as _;

const SECOND: Duration = Duration::from_secs(1);

/// Says of its context what is asked.
#[expect(clippy::type_complexity, reason = "a server has the types of its parts")]
fn telling(
    tell: fn(&Context) -> String,
) -> Server<
    impl purlin_endpoint::Endpoint<(), Response = String, Error = Error>,
    impl purlin_transport_http::Decode<Message = ()>,
    impl Fn(&Context, String) -> Result<http::Response<Body>, Error> + Clone + Send + Sync + 'static,
> {
    let endpoint =
        endpoint_fn(move |context: Context, ()| async move { Ok::<_, Error>(tell(&context)) });
    Server::new(endpoint, decode::no_request, encode::text::<String>)
}

fn with(name: &str, value: &str) -> Request<Body> {
    Request::get("/").header(name, value).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn the_callers_request_id_is_kept_and_sent_back() {
    let server = telling(|context| context.request_id().unwrap().to_string());
    let response = send(server, with("x-request-id", "a.b-C_9")).await;
    assert_eq!(response.headers()["x-request-id"], "a.b-C_9");
    assert_eq!(text(response).await, "a.b-C_9");
}

#[tokio::test]
async fn a_request_id_that_could_do_harm_is_replaced() {
    let server = telling(|context| context.request_id().unwrap().to_string());
    for bad in ["", "a b", "a\"b", &"x".repeat(129)] {
        let response = send(server.clone(), with("x-request-id", bad)).await;
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert!(id != bad && id.len() == 32);
        assert_eq!(text(response).await, id);
    }
}

#[tokio::test(start_paused = true)]
async fn the_callers_timeout_is_the_deadline_up_to_the_servers_own() {
    let server = telling(|context| format!("{:?}", context.remaining(Instant::now())));
    assert_eq!(
        text(send(server.clone(), with("x-request-timeout-ms", "1500")).await).await,
        "Some(1.5s)"
    );
    assert_eq!(text(get(server.clone(), "/").await).await, "None");
    let capped = server.max_timeout(SECOND);
    assert_eq!(
        text(send(capped.clone(), with("x-request-timeout-ms", "1500")).await).await,
        "Some(1s)"
    );
    assert_eq!(
        text(send(capped.clone(), with("x-request-timeout-ms", "500")).await).await,
        "Some(500ms)"
    );
    assert_eq!(text(get(capped, "/").await).await, "Some(1s)");
}

#[tokio::test]
async fn a_timeout_that_is_not_a_whole_number_is_refused_and_the_handler_does_not_run() {
    let runs = Arc::new(AtomicU32::new(0));
    let endpoint = endpoint_fn({
        let runs = runs.clone();
        move |_: Context, ()| {
            runs.fetch_add(1, Relaxed);
            async { Ok::<_, Error>(()) }
        }
    });
    let server = Server::new(endpoint, decode::no_request, encode::json);
    let bad = ["", " ", "-1", "+1", "1.5", "1s", "0x10", "1,2", "1 2", "९", "1234567890123456789"];
    for bad in bad {
        let request = Request::get("/").header("x-request-timeout-ms", bad.as_bytes());
        let response = send(server.clone(), request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 400, "{bad:?}");
        assert!(response.headers().contains_key("x-request-id"));
        let problem = problem(response).await;
        assert_eq!(problem["violations"][0]["field"], "x-request-timeout-ms");
    }
    let mut twice = with("x-request-timeout-ms", "1");
    twice.headers_mut().append("x-request-timeout-ms", "2".parse().unwrap());
    assert_eq!(send(server.clone(), twice).await.status(), 400);
    assert_eq!(send(server, with("x-request-timeout-ms", "0")).await.status(), 504);
    assert_eq!(runs.load(Relaxed), 0);
}

#[tokio::test]
async fn no_garbage_in_a_timeout_makes_it_panic_or_pass() {
    let server = telling(|_| String::new());
    let mut state = 1_u64;
    for _ in 0..5_000 {
        let mut value = Vec::new();
        for _ in 0..state % 24 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            value.push(b"0123456789+-. eE\t\xff\xe0x"[(state >> 33) as usize % 20]);
        }
        state = state.wrapping_add(1);
        let Ok(header) = http::HeaderValue::from_bytes(&value) else { continue };
        let mut request = Request::new(Body::empty());
        request.headers_mut().insert("x-request-timeout-ms", header);
        let status = send(server.clone(), request).await.status();
        let valid = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        assert_eq!(status == 400, !valid, "{value:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_outlasts_the_deadline_is_dropped_and_answered_with_504() {
    let diary = Diary::default();
    let endpoint = endpoint_fn(|_: Context, ()| async {
        // sleeps: the clock is paused.
        tokio::time::sleep(10 * SECOND).await;
        Ok::<_, Error>(())
    });
    let server = Server::new(diary.layer().layer(endpoint), decode::no_request, encode::json);
    let begun = Instant::now();
    let response = send(server, with("x-request-timeout-ms", "1000")).await;
    assert_eq!(response.status(), 504);
    assert_eq!(problem(response).await["code"], "DEADLINE_EXCEEDED");
    assert_eq!((begun.elapsed(), diary.take()), (SECOND, vec!["dropped".to_owned()]));
}

#[tokio::test]
async fn attempts_are_counted_and_criticality_counts_only_where_callers_are_trusted() {
    let server = telling(|context| format!("{} {:?}", context.attempt(), context.criticality()));
    let request = || {
        let request = Request::get("/").header("x-previous-attempts", "2");
        request.header("x-criticality", "SHEDDABLE").body(Body::empty()).unwrap()
    };
    assert_eq!(text(send(server.clone(), request()).await).await, "2 Critical");
    let trusting = server.trust_callers();
    assert_eq!(text(send(trusting.clone(), request()).await).await, "2 Sheddable");
    assert_eq!(text(send(trusting, with("x-criticality", "vital")).await).await, "0 Critical");
}

#[tokio::test]
async fn every_header_has_a_name_that_can_be_chosen() {
    let mut names = purlin_transport_http::HeaderNames::default();
    names.request_id = "x-correlation-id".parse().unwrap();
    let server = telling(|context| context.request_id().unwrap().to_string()).header_names(names);
    let response = send(server, with("x-correlation-id", "c-1")).await;
    assert_eq!(response.headers()["x-correlation-id"], "c-1");
    assert!(!response.headers().contains_key("x-request-id"));
}

#[tokio::test]
async fn the_context_starts_from_what_is_known_outside() {
    static METHOD: Method = Method::unary("a.B", "C");
    let server = telling(|context| {
        let (peer, identity) = (context.peer().unwrap(), context.peer_identity().unwrap());
        let method = context.method().unwrap();
        format!("{method} {peer} {identity} {:?}", context.get::<u8>())
    })
    .method(&METHOD);
    let mut request = Request::new(Body::empty());
    *request.context_mut() = Context::default().with(7_u8);
    request.extensions_mut().insert(Peer::Memory);
    request.extensions_mut().insert(Identity::default().uri("spiffe://acme/a"));
    let told = text(send(server, request).await).await;
    assert_eq!(told, "a.B/C memory spiffe://acme/a Some(7)");
}

#[tokio::test]
async fn a_before_may_fail_and_nothing_behind_it_runs() {
    let diary = Diary::default();
    let server = telling(|_| unreachable!())
        .before(|_, _| Err(Error::of(Code::Unauthenticated)))
        .before(|_, _| unreachable!())
        .after(|_, _| unreachable!())
        .error_handler({
            let diary = diary.clone();
            move |_, error| diary.note(error.code().as_str())
        })
        .finalizer({
            let diary = diary.clone();
            move |_, finished| diary.note(finished.status.unwrap().as_str())
        });
    let response = get(server, "/").await;
    assert_eq!(response.status(), 401);
    assert_eq!(problem(response).await["code"], "UNAUTHENTICATED");
    assert_eq!(diary.take(), ["UNAUTHENTICATED", "401"]);
}

#[tokio::test]
async fn finalizers_see_what_was_really_sent_on_the_error_path() {
    let seen = Arc::new(Mutex::new(None));
    let endpoint = endpoint_fn(|_: Context, ()| async { Err::<(), _>(Error::of(Code::NotFound)) });
    let server = Server::new(endpoint, decode::no_request, encode::json).finalizer({
        let seen = seen.clone();
        move |context, finished| {
            *seen.lock().unwrap() = Some((context.request_id().cloned(), finished.clone()));
        }
    });
    let response = get(server, "/").await;
    let id = response.headers()["x-request-id"].clone();
    let body = text(response).await;
    let (seen_id, finished) = seen.lock().unwrap().take().unwrap();
    assert_eq!(seen_id.unwrap().as_str(), id);
    assert_eq!(finished.status, Some(StatusCode::NOT_FOUND));
    assert_eq!(finished.headers["content-type"], "application/problem+json");
    assert_eq!(finished.headers["x-request-id"], id);
    assert_eq!((finished.bytes, finished.complete), (body.len() as u64, true));
}

#[tokio::test]
async fn the_finalizer_of_a_call_that_is_given_up_runs_too() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let endpoint = endpoint_fn(|_: Context, ()| std::future::pending::<Result<(), Error>>());
    let server = Server::new(endpoint, decode::no_request, encode::json).finalizer({
        let seen = seen.clone();
        move |_, finished| seen.lock().unwrap().push((finished.status, finished.complete))
    });
    let mut call = Box::pin(get(server, "/"));
    assert!(futures_poll(&mut call).is_pending());
    drop(call);
    assert_eq!(*seen.lock().unwrap(), [(None, false)]);
}

fn futures_poll<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Task::from_waker(std::task::Waker::noop()))
}

#[tokio::test]
async fn headers_written_by_the_handler_are_sent_with_errors_too() {
    let endpoint = endpoint_fn(|context: Context, ()| async move {
        context.reply().header("X-Quota", "0");
        Err::<(), _>(Error::of(Code::ResourceExhausted).retry_after(Duration::from_millis(1200)))
    });
    let response = get(Server::new(endpoint, decode::no_request, encode::json), "/").await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["x-quota"], "0");
    assert_eq!(response.headers()["retry-after"], "2");
    assert_eq!(problem(response).await["retry_after_ms"], 1200);
}

fn lengths() -> impl HttpService {
    let endpoint = endpoint_fn(|_: Context, body: bytes::Bytes| async move {
        Ok::<_, Error>(body.len().to_string())
    });
    Server::new(endpoint, decode::raw, encode::text).body_limit(10)
}

/// A body of these pieces, with a pause before each.
struct Slow {
    pieces: Vec<&'static [u8]>,
    pause: Duration,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Slow {
    fn body(pieces: &[&'static [u8]], pause: Duration) -> Body {
        Body::new(Self { pieces: pieces.to_vec(), pause, timer: None })
    }
}

impl http_body::Body for Slow {
    type Data = bytes::Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Error>>> {
        let pause = self.pause;
        // sleeps: the clock is paused.
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        std::task::ready!(timer.as_mut().poll(task));
        self.timer = None;
        if self.pieces.is_empty() {
            return Poll::Ready(None);
        }
        let piece = self.pieces.remove(0);
        Poll::Ready(Some(Ok(Frame::data(bytes::Bytes::from_static(piece)))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_limit_is_too_large() {
    let post =
        |pieces: &[&'static [u8]]| Request::post("/").body(Slow::body(pieces, SECOND)).unwrap();
    assert_eq!(text(send(lengths(), post(&[b"12345", b"67890"])).await).await, "10");
    let response = send(lengths(), post(&[b"12345", b"678901"])).await;
    assert_eq!(response.status(), 413);
    let problem = problem(response).await;
    assert_eq!(problem["detail"], "the body is larger than 10 bytes");
    assert_eq!(problem["code"], "RESOURCE_EXHAUSTED");
}

#[tokio::test(start_paused = true)]
async fn a_body_may_take_long_but_not_pause_long() {
    let post = |pause| Request::post("/").body(Slow::body(&[b"1", b"2", b"3"], pause)).unwrap();
    assert_eq!(text(send(lengths(), post(9 * SECOND)).await).await, "3");
    let begun = Instant::now();
    let response = send(lengths(), post(11 * SECOND)).await;
    assert_eq!((response.status(), begun.elapsed()), (StatusCode::REQUEST_TIMEOUT, 10 * SECOND));
    assert_eq!(problem(response).await["detail"], "the body came too slowly");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_covers_the_reading_of_the_body() {
    let mut request = Request::post("/").body(Slow::body(&[b"1", b"2"], 3 * SECOND)).unwrap();
    request.headers_mut().insert("x-request-timeout-ms", "5000".parse().unwrap());
    let begun = Instant::now();
    assert_eq!(send(lengths(), request).await.status(), 504);
    assert_eq!(begun.elapsed(), 5 * SECOND);
}

#[tokio::test]
async fn a_body_of_another_type_than_the_route_takes_is_unsupported() {
    let endpoint = endpoint_fn(|_: Context, name: String| async move { Ok::<_, Error>(name) });
    let server = Server::new(endpoint, decode::json::<String>, encode::json);
    let post = |kind: Option<&str>, body: &'static str| {
        let mut request = Request::post("/").body(Body::from(body)).unwrap();
        if let Some(kind) = kind {
            request.headers_mut().insert("content-type", kind.parse().unwrap());
        }
        request
    };
    for kind in ["application/json", "Application/JSON; charset=utf-8", "application/ld+json"] {
        assert_eq!(send(server.clone(), post(Some(kind), "\"x\"")).await.status(), 200, "{kind}");
    }
    for kind in [None, Some("text/plain"), Some("application/jsonp"), Some("+json/x")] {
        let response = send(server.clone(), post(kind, "\"x\"")).await;
        assert_eq!(response.status(), 415, "{kind:?}");
        let problem = problem(response).await;
        assert_eq!(problem["code"], "INVALID_ARGUMENT");
        assert_eq!(problem["detail"], "the content type must be application/json");
    }
    let response = send(server, post(Some("application/json"), "7")).await;
    assert_eq!(problem(response).await["detail"], "the body must be a string");
}

#[tokio::test]
async fn a_request_that_is_refused_keeps_no_place_in_the_endpoint() {
    let limited = tower::limit::ConcurrencyLimit::new(
        endpoint_fn(|_: Context, text: String| async move { Ok::<_, Error>(text) }),
        1,
    );
    let mut server = Server::new(limited, decode::json::<String>, encode::json);
    let mut other = server.clone();
    let bad = Request::post("/").body(Body::from("x")).unwrap();
    let response = (&mut server).oneshot(bad).await.unwrap();
    assert_eq!(response.status(), 415);
    let good = Request::post("/").header("content-type", "application/json");
    let response = (&mut other).oneshot(good.body(Body::from("\"x\"")).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_form_is_read_like_a_query() {
    #[derive(serde::Deserialize)]
    struct Form {
        name: String,
        tag: Vec<u8>,
    }
    let endpoint = endpoint_fn(|_: Context, Form { name, tag }| async move {
        Ok::<_, Error>(format!("{name} {tag:?}"))
    });
    let server = Server::new(endpoint, decode::form::<Form>, encode::text);
    let post = |body: &'static str| {
        let request =
            Request::post("/").header("content-type", "application/x-www-form-urlencoded");
        request.body(Body::from(body)).unwrap()
    };
    assert_eq!(text(send(server.clone(), post("name=A+B&tag=1&tag=2")).await).await, "A B [1, 2]");
    let response = send(server, post("name=A&tag=1&tag=x")).await;
    assert_eq!(problem(response).await["violations"][0]["field"], "tag");
}

#[tokio::test]
async fn the_way_out_keeps_the_endpoints_own_errors() {
    #[derive(Debug)]
    struct Mine;
    impl From<Mine> for Error {
        fn from(_: Mine) -> Self {
            Self::new(Code::FailedPrecondition, "not now")
        }
    }
    let endpoint = endpoint_fn(|_: Context, ()| async { Err::<(), _>(Mine) });
    let response = get(Server::new(endpoint, decode::no_request, encode::json), "/").await;
    assert_eq!(problem(response).await["code"], "FAILED_PRECONDITION");
}

#[tokio::test]
async fn a_panic_anywhere_is_an_internal_error_without_its_text() {
    expect_panics();
    let diary = Diary::default();
    let handler = endpoint_fn(|_: Context, fails: bool| async move {
        assert!(!fails, "secret");
        Ok::<_, Error>(())
    });
    async fn decode(_: Context, request: Request<Body>) -> Result<bool, Error> {
        assert!(request.uri().path() != "/decode", "secret");
        Ok(request.uri().path() == "/handler")
    }
    fn encode(context: &Context, (): ()) -> Result<http::Response<Body>, Error> {
        assert!(context.get::<&str>() != Some(&"/encode"), "secret");
        encode::no_content(context, ())
    }
    let server = Server::new(diary.layer().layer(handler), decode, encode)
        .before(|context, parts| {
            assert!(parts.uri.path() != "/before", "secret");
            let leaked = ["/encode", "/after"].into_iter().find(|path| *path == parts.uri.path());
            Ok(context.with(leaked.unwrap_or("")))
        })
        .after(|context, _| assert!(context.get::<&str>() != Some(&"/after"), "secret"));
    for (path, ends) in [
        ("/before", &[][..]),
        ("/decode", &[]),
        ("/handler", &["panicked"]),
        ("/after", &["returned"]),
        ("/encode", &["returned"]),
    ] {
        let response = get(server.clone(), path).await;
        assert_eq!(response.status(), 500, "{path}");
        let text = problem(response).await.to_string();
        assert!(text.contains("INTERNAL") && !text.contains("secret"), "{path}: {text}");
        assert_eq!(diary.take(), ends, "{path}");
    }
    assert_eq!(get(server, "/").await.status(), 204);
}

#[tokio::test]
async fn a_panic_where_errors_are_encoded_is_an_internal_error_all_the_same() {
    expect_panics();
    let endpoint = endpoint_fn(|_: Context, ()| async { Err::<(), _>(Error::of(Code::NotFound)) });
    let server = Server::new(endpoint, decode::no_request, encode::json)
        .error_encoder(|_, _| panic!("secret"));
    let response = get(server, "/").await;
    assert_eq!(response.status(), 500);
    assert!(!text(response).await.contains("secret"));
}
