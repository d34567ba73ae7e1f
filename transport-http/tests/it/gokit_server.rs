//! The scenarios of Go kit's `transport/http` server, with the same input and, unless a comment
//! says why not, the same outcome. The numbers are those of our inventory.

use crate::{get, send, text};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::VARY};
use purlin_endpoint::{Code, Context, Error, endpoint_fn};
use purlin_transport_http::{Body, HttpService, Server, decode, encode};
use std::sync::{Arc, Mutex};

type Encoded = Result<Response<Body>, Error>;

async fn fetch(server: impl HttpService) -> Response<Body> {
    get(server, "/").await
}

async fn nop(_: Context, (): ()) -> Result<(), Error> {
    Ok(())
}

fn empty(_: &Context, (): ()) -> Encoded {
    Ok(Response::new(Body::empty()))
}

fn dang() -> Error {
    Error::internal("dang")
}

/// Go kit answers 500, as it does any error: ours says whose fault it is.
#[tokio::test]
async fn hs_01_a_request_that_cannot_be_decoded_is_a_bad_request() {
    async fn decode(_: Context, _: Request<Body>) -> Result<(), Error> {
        Err(Error::new(Code::InvalidArgument, "dang"))
    }
    assert_eq!(fetch(Server::new(endpoint_fn(nop), decode, empty)).await.status(), 400);
}

#[tokio::test]
async fn hs_01_a_decoder_that_fails_is_an_internal_error() {
    async fn decode(_: Context, _: Request<Body>) -> Result<(), Error> {
        Err(dang())
    }
    assert_eq!(fetch(Server::new(endpoint_fn(nop), decode, empty)).await.status(), 500);
}

#[tokio::test]
async fn hs_02_an_endpoint_that_fails_is_an_internal_error() {
    let endpoint = endpoint_fn(|_, ()| async { Err::<(), _>(dang()) });
    assert_eq!(fetch(Server::new(endpoint, decode::no_request, empty)).await.status(), 500);
}

#[tokio::test]
async fn hs_03_an_encoder_that_fails_is_an_internal_error() {
    let encode = |_: &Context, ()| -> Encoded { Err(dang()) };
    let server = Server::new(endpoint_fn(nop), decode::no_request, encode);
    assert_eq!(fetch(server).await.status(), 500);
}

#[tokio::test]
async fn hs_04_an_error_encoder_has_the_last_word() {
    let server = Server::new(
        endpoint_fn(|_, ()| async { Err::<(), _>(Error::internal("teapot")) }),
        decode::no_request,
        empty,
    )
    .error_encoder(|_, error| {
        let teapot = std::error::Error::source(error).is_some_and(|e| e.to_string() == "teapot");
        let status = if teapot { StatusCode::IM_A_TEAPOT } else { StatusCode::OK };
        Response::builder().status(status).body(Body::empty()).unwrap()
    });
    assert_eq!(fetch(server).await.status(), 418);
}

#[tokio::test]
async fn hs_05_a_call_that_goes_well_is_ok() {
    let server = Server::new(endpoint_fn(nop), decode::no_request, empty);
    assert_eq!(fetch(server).await.status(), 200);
}

#[tokio::test]
async fn hs_06_a_later_before_sees_the_value_of_an_earlier_one() {
    let server = Server::new(
        endpoint_fn(|context: Context, ()| async move {
            Ok::<_, Error>(format!("{:?}", context.get::<(&str, u8)>()))
        }),
        decode::no_request,
        encode::text,
    )
    .before(|context, _| Ok(context.with("one")))
    .before(|context, _| {
        let first = *context.get::<&str>().unwrap();
        Ok(context.with((first, 2_u8)))
    });
    assert_eq!(text(fetch(server).await).await, r#"Some(("one", 2))"#);
}

/// A Go kit function that runs afterwards hands on a context; ours is immutable by then, and what a
/// later one sees of an earlier one are the headers.
#[tokio::test]
async fn hs_07_a_later_after_sees_what_an_earlier_one_did() {
    let server = Server::new(endpoint_fn(nop), decode::no_request, empty)
        .after(|_, headers| {
            headers.insert("x-one", HeaderValue::from_static("1"));
        })
        .after(|_, headers| {
            let one = headers["x-one"].clone();
            headers.insert("x-two", one);
        });
    let response = fetch(server).await;
    assert_eq!(
        (&response.headers()["x-one"], &response.headers()["x-two"]),
        (&"1".parse().unwrap(), &"1".parse().unwrap())
    );
}

#[tokio::test]
async fn hs_08_a_finalizer_gets_status_headers_and_size() {
    const BODY: &str = "go eat a fly ugly\n";
    let seen = Arc::new(Mutex::new(None));
    let server = Server::new(endpoint_fn(nop), decode::no_request, |context: &Context, ()| {
        context.reply().header("x-henlo-lizer", "Helllo you stinky lizard");
        Ok(Response::builder().status(418).body(Body::from(BODY)).unwrap())
    })
    .finalizer({
        let seen = seen.clone();
        move |_, finished| *seen.lock().unwrap() = Some(finished.clone())
    });
    let response = fetch(server).await;
    assert!(seen.lock().unwrap().is_none(), "nothing is final before the body is sent");
    assert_eq!(text(response).await, BODY);
    let finished = seen.lock().unwrap().take().unwrap();
    assert_eq!(finished.status.unwrap(), 418);
    assert_eq!(finished.headers["x-henlo-lizer"], "Helllo you stinky lizard");
    assert_eq!((finished.bytes, finished.complete), (18, true));
}

#[derive(Clone, serde::Serialize)]
struct Foo {
    foo: &'static str,
}

/// Go kit's encoder asks the response for its status and headers; ours is a function that sets them.
fn pay(context: &Context, bill: Foo) -> Encoded {
    let mut response = encode::json(context, bill)?;
    *response.status_mut() = StatusCode::PAYMENT_REQUIRED;
    response.headers_mut().insert("x-edward", HeaderValue::from_static("Snowden"));
    Ok(response)
}

#[tokio::test]
async fn hs_09_a_json_response_has_the_status_and_headers_it_was_given() {
    let foo = endpoint_fn(|_, ()| async { Ok::<_, Error>(Foo { foo: "bar" }) });
    let response = fetch(Server::new(foo, decode::no_request, pay)).await;
    assert_eq!(response.status(), 402);
    assert_eq!(response.headers()["x-edward"], "Snowden");
    // Go kit adds a charset, which JSON does not have, and a line end.
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(text(response).await, r#"{"foo":"bar"}"#);
}

#[tokio::test]
async fn hs_10_a_header_can_have_several_values() {
    let endpoint = endpoint_fn(|context: Context, ()| async move {
        context.reply().header("vary", "Origin");
        context.reply().header("vary", "User-Agent");
        Ok::<_, Error>(())
    });
    let response = fetch(Server::new(endpoint, decode::no_request, empty)).await;
    let vary: Vec<_> = response.headers().get_all(VARY).iter().collect();
    assert_eq!(vary, ["Origin", "User-Agent"]);
}

fn varied() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    headers.append(VARY, HeaderValue::from_static("User-Agent"));
    headers
}

/// Go kit sends the bare text; ours is the `detail` of a problem document, unless there is an error
/// encoder as in the next test.
#[tokio::test]
async fn hs_11_an_error_can_have_headers_with_several_values() {
    let endpoint = endpoint_fn(|_, ()| async {
        Err::<(), _>(Error::internal("oh no").public("oh no").attach(varied()))
    });
    let response = fetch(Server::new(endpoint, decode::no_request, empty)).await;
    assert_eq!(response.status(), 500);
    assert_eq!(
        response.headers().get_all(VARY).iter().collect::<Vec<_>>(),
        ["Origin", "User-Agent"]
    );
    assert!(text(response).await.contains(r#""detail":"oh no""#));
}

#[tokio::test]
async fn hs_11_an_error_encoder_can_send_the_bare_text() {
    let endpoint = endpoint_fn(|_, ()| async { Err::<(), _>(Error::new(Code::Aborted, "oh no")) });
    let server = Server::new(endpoint, decode::no_request, empty).error_encoder(|_, error| {
        let mut response = Response::new(Body::from(error.message().to_owned()));
        *response.headers_mut() = varied();
        response
    });
    let response = fetch(server).await;
    assert_eq!(response.headers().get_all(VARY).iter().count(), 2);
    assert_eq!(text(response).await, "oh no");
}

#[tokio::test]
async fn hs_12_no_content_has_no_body() {
    let foo = endpoint_fn(|_, ()| async { Ok::<_, Error>(Foo { foo: "bar" }) });
    let response = fetch(Server::new(
        foo,
        decode::no_request,
        encode::status(StatusCode::NO_CONTENT, encode::json),
    ))
    .await;
    assert_eq!(response.status(), 204);
    assert_eq!(text(response).await, "");
    let response = fetch(Server::new(foo, decode::no_request, encode::no_content)).await;
    assert_eq!(response.status(), 204);
    assert!(response.headers().get("content-type").is_none());
}

#[tokio::test]
async fn hs_13_an_error_can_have_a_status_a_header_and_members_of_its_own() {
    let endpoint = endpoint_fn(|_, ()| async {
        let mut headers = HeaderMap::new();
        headers.insert("x-enhanced", HeaderValue::from_static("1"));
        Err::<(), _>(
            Error::new(Code::FailedPrecondition, "enhanced error")
                .member("err", "enhanced")
                .attach(StatusCode::IM_A_TEAPOT)
                .attach(headers),
        )
    });
    let response = fetch(Server::new(endpoint, decode::no_request, empty)).await;
    assert_eq!(response.status(), 418);
    assert_eq!(response.headers()["x-enhanced"], "1");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(body["err"], "enhanced");
    assert_eq!(body["detail"], "enhanced error");
    assert_eq!(body["status"], 418);
}

#[tokio::test]
async fn hs_14_an_endpoint_may_take_nothing_of_the_request() {
    let endpoint = endpoint_fn(|_, request: ()| async move { Ok::<_, Error>(request) });
    let response = fetch(Server::new(endpoint, decode::no_request, encode::json)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(text(response).await, "null");
}

#[tokio::test]
async fn rq_01_and_02_a_function_that_comes_after_sets_headers() {
    let server = Server::new(endpoint_fn(nop), decode::no_request, empty).after(|_, headers| {
        headers.insert("x-foo", HeaderValue::from_static("12345"));
        headers.insert("content-type", HeaderValue::from_static("application/json"));
    });
    let response = fetch(server).await;
    assert_eq!(response.headers()["x-foo"], "12345");
    assert_eq!(response.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn rq_03_the_head_of_the_request_can_go_into_the_context() {
    let endpoint = endpoint_fn(|context: Context, ()| async move {
        let head = context.get::<http::request::Parts>().unwrap();
        let id = context.request_id().unwrap();
        Ok::<_, Error>(format!("{} {} {} {id}", head.method, head.uri.path(), head.uri))
    });
    let server = Server::new(endpoint, decode::no_request, encode::text)
        .before(|context, head| Ok(context.with(head.clone())));
    let request = Request::patch("/search?q=sympatico").header("X-Request-Id", "a1b2c3d4e5");
    let response = send(server, request.body(Body::empty()).unwrap()).await;
    assert_eq!(text(response).await, "PATCH /search /search?q=sympatico a1b2c3d4e5");
}

// iw-1 and iw-2 are about the wrapper that Go kit puts around a response writer to count its bytes,
// and the 32 combinations of optional interfaces which that hides. Our response is a value: nothing
// wraps it.
