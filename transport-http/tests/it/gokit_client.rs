//! The scenarios of Go kit's `transport/http` client and of its `proto`, with the same input and,
//! unless a comment says why not, the same outcome. The numbers are those of our inventory.

use http::{HeaderValue, Method, Request, Response, StatusCode};
use purlin_endpoint::{Context, Endpoint as _, Error};
use purlin_transport_http::{
    Body, Client,
    client::{decode, encode},
};
use std::sync::{Arc, Mutex};
use tower::service_fn;

const URI: &str = "http://127.0.0.1:9/";

/// A server that answers everything with this.
fn answering(
    response: impl Fn(Request<Body>) -> Response<Body> + Clone + Send + Sync + 'static,
) -> impl tower::Service<Request<Body>, Response = Response<Body>, Error = Error, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    service_fn(move |request| std::future::ready(Ok(response(request))))
}

#[tokio::test]
async fn hc_01_before_reaches_the_server_and_after_sees_the_response() {
    let dude = Arc::new(Mutex::new(String::new()));
    let http = answering(|request| {
        assert_eq!(request.headers()["x-foo"], "abcde");
        Response::builder().header("x-the-dude", "Abides").body(Body::from("testbody")).unwrap()
    });
    let client = Client::new(http, Method::GET, URI, encode::no_request, decode::raw)
        .unwrap()
        .before(|_, parts| {
            parts.headers.insert("x-foo", HeaderValue::from_static("abcde"));
            Ok(())
        })
        .after({
            let dude = dude.clone();
            move |_, parts| {
                *dude.lock().unwrap() = parts.headers["x-the-dude"].to_str().unwrap().to_owned();
            }
        });
    // The body is a value that the decoder takes: there is nothing left that could stay open.
    assert_eq!(client.invoke(Context::default(), ()).await.unwrap(), "testbody");
    assert_eq!(*dude.lock().unwrap(), "Abides");
}

#[tokio::test(start_paused = true)]
async fn hc_02_a_streamed_response_can_be_read_later() {
    let http = answering(|_| Response::new(Body::from(vec![b'x'; 6000])));
    let client = Client::new(http, Method::GET, URI, encode::no_request, decode::stream).unwrap();
    let body = client.invoke(Context::default(), ()).await.unwrap();
    // sleeps: the clock is paused.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(body.bytes().await.unwrap().len(), 6000);
}

#[tokio::test]
async fn hc_03_a_finalizer_gets_headers_and_size() {
    let seen = Arc::new(Mutex::new(None));
    let http = answering(|_| {
        Response::builder()
            .header("x-henlo-lizer", "Helllo you stinky lizard")
            .body(Body::from("go eat a fly ugly\n"))
            .unwrap()
    });
    let client =
        Client::new(http, Method::GET, URI, encode::no_request, decode::raw).unwrap().finalizer({
            let seen = seen.clone();
            move |_, finished| *seen.lock().unwrap() = Some(finished.clone())
        });
    client.invoke(Context::default(), ()).await.unwrap();
    let finished = seen.lock().unwrap().take().unwrap();
    assert_eq!(finished.headers["x-henlo-lizer"], "Helllo you stinky lizard");
    assert_eq!((finished.bytes, finished.complete), (18, true));
}

async fn sent<T: serde::Serialize + Send + 'static>(message: T) -> String {
    let seen = Arc::new(Mutex::new(None));
    let http = {
        let seen = seen.clone();
        answering(move |request| {
            *seen.lock().unwrap() = Some(request);
            Response::new(Body::empty())
        })
    };
    let client =
        Client::new(http, Method::POST, URI, encode::json::<T>, decode::no_content).unwrap();
    client.invoke(Context::default(), message).await.unwrap();
    let request = seen.lock().unwrap().take().unwrap();
    assert_eq!(request.headers()["content-type"], "application/json");
    let length = request.headers()["content-length"].to_str().unwrap().parse::<usize>();
    let body = request.into_body().bytes().await.unwrap();
    // Go kit sends none, and so must chunk.
    assert_eq!(length, Ok(body.len()));
    String::from_utf8(body.to_vec()).unwrap()
}

/// Go kit ends each with a line end, which is not part of the value.
#[tokio::test]
async fn hc_04_json_requests_are_the_bare_value() {
    #[derive(serde::Serialize)]
    struct Foo {
        foo: &'static str,
    }
    assert_eq!(sent(()).await, "null");
    assert_eq!(sent(12).await, "12");
    assert_eq!(sent(1.2).await, "1.2");
    assert_eq!(sent(true).await, "true");
    assert_eq!(sent("test").await, "\"test\"");
    assert_eq!(sent(Foo { foo: "foo" }).await, r#"{"foo":"foo"}"#);
}

#[tokio::test]
async fn hc_04_an_encoder_can_set_headers() {
    let http = answering(|request| {
        assert_eq!(request.headers()["x-edward"], "Snowden");
        Response::new(Body::empty())
    });
    let encode = |context: &Context, request: &mut Request<Body>, message: &'static str| {
        request.headers_mut().insert("x-edward", HeaderValue::from_static("Snowden"));
        encode::json(context, request, message)
    };
    let client = Client::new(http, Method::POST, URI, encode, decode::no_content).unwrap();
    client.invoke(Context::default(), "x").await.unwrap();
}

#[tokio::test]
async fn hc_05_any_service_is_a_client() {
    let http = answering(|_| Response::new(Body::from("hello, world!")));
    let client = Client::new(http, Method::GET, URI, encode::no_request, decode::raw).unwrap();
    assert_eq!(client.invoke(Context::default(), ()).await.unwrap(), "hello, world!");
}

#[tokio::test]
async fn hc_06_the_length_of_a_body_is_sent() {
    let http = answering(|request| {
        assert_eq!(request.headers()["content-length"], "11");
        Response::new(Body::empty())
    });
    let client =
        Client::new(http, Method::POST, URI, encode::raw::<&'static str>, decode::no_content);
    client.unwrap().invoke(Context::default(), "hello world").await.unwrap();
}

#[cfg(feature = "proto")]
mod proto {
    use super::*;
    use purlin_endpoint::endpoint_fn;
    use purlin_transport_http::{Server, decode as from_client, encode as to_client};

    #[derive(Clone, PartialEq, prost::Message)]
    struct Cat {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(int32, tag = "2")]
        age: i32,
    }

    fn ziggy() -> Cat {
        Cat { name: "Ziggy".into(), age: 13 }
    }

    #[tokio::test]
    async fn pb_01_a_request_is_sent_and_read_as_a_protocol_buffer() {
        let endpoint = endpoint_fn(|_, cat: Cat| async move {
            assert_eq!(cat, ziggy());
            Ok::<_, Error>(cat)
        });
        let server = Server::new(endpoint, from_client::proto::<Cat>, to_client::proto).before(
            |context, parts| {
                assert_eq!(parts.headers["content-type"], "application/x-protobuf");
                Ok(context)
            },
        );
        let client =
            Client::new(server, Method::POST, URI, encode::proto::<Cat>, decode::proto::<Cat>);
        assert_eq!(client.unwrap().invoke(Context::default(), ziggy()).await.unwrap(), ziggy());
    }

    #[tokio::test]
    async fn pb_02_a_response_with_any_status_is_a_protocol_buffer() {
        let endpoint = endpoint_fn(|_, ()| async { Ok::<_, Error>(ziggy()) });
        let encode = to_client::status(StatusCode::IM_A_TEAPOT, to_client::proto::<Cat>);
        let response =
            crate::get(Server::new(endpoint, from_client::no_request, encode), "/").await;
        assert_eq!(response.status(), 418);
        assert_eq!(response.headers()["content-type"], "application/x-protobuf");
        let body = response.into_body().bytes().await.unwrap();
        assert_eq!(<Cat as prost::Message>::decode(body).unwrap(), ziggy());
    }

    #[tokio::test]
    async fn what_is_no_protocol_buffer_is_refused() {
        let endpoint = endpoint_fn(|_, cat: Cat| async { Ok::<_, Error>(cat) });
        let server = Server::new(endpoint, from_client::proto::<Cat>, to_client::proto);
        let request = Request::post("/").header("content-type", "application/x-protobuf");
        let response =
            crate::send(server.clone(), request.body(Body::from("\u{7f}garbage")).unwrap()).await;
        assert_eq!(response.status(), 400);
        let response = crate::get(server, "/").await;
        assert_eq!(response.status(), 415);
    }
}

mod more {
    use super::*;
    use purlin_endpoint::{Code, Criticality, endpoint_fn};
    use purlin_transport_http::{Server, decode as from_client, encode as to_client};
    use std::time::Duration;

    #[tokio::test]
    async fn an_error_comes_back_as_it_was() {
        let endpoint = endpoint_fn(|_, ()| async {
            Err::<(), _>(
                Error::new(Code::AlreadyExists, "Ann is there already")
                    .violation("name", "is taken")
                    .retry_after(Duration::from_millis(1500))
                    .member("tenant", "acme"),
            )
        });
        let server = Server::new(endpoint, from_client::no_request, to_client::json);
        let client =
            Client::new(server, Method::GET, URI, encode::no_request, decode::json::<()>).unwrap();
        let error = client.invoke(Context::default(), ()).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::AlreadyExists, "Ann is there already"));
        assert_eq!(error.violations()[0].field, "name");
        assert_eq!(error.retry_delay(), Some(Duration::from_millis(1500)));
        assert_eq!(error.members().collect::<Vec<_>>(), [("tenant", "acme")]);
        assert_eq!(error.attached::<StatusCode>(), Some(&StatusCode::CONFLICT));
    }

    #[tokio::test]
    async fn what_is_known_of_a_call_travels_with_it() {
        let endpoint = endpoint_fn(|context: Context, ()| async move {
            let left = context.remaining(tokio::time::Instant::now()).unwrap();
            assert!(left > Duration::from_secs(4) && left <= Duration::from_secs(5));
            Ok::<_, Error>(format!(
                "{} {} {}",
                context.request_id().unwrap(),
                context.attempt(),
                context.criticality().as_str()
            ))
        });
        let server =
            Server::new(endpoint, from_client::no_request, to_client::text).trust_callers();
        let client =
            Client::new(server, Method::GET, URI, encode::no_request, decode::raw).unwrap();
        let context = Context::default()
            .with_request_id("r-1".parse().unwrap())
            .with_attempt(2)
            .with_criticality(Criticality::Sheddable)
            .with_timeout(Duration::from_secs(5));
        assert_eq!(client.invoke(context, ()).await.unwrap(), "r-1 2 SHEDDABLE");
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_is_kept_even_if_the_server_does_not() {
        let http =
            service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Error>>());
        let client = Client::new(http, Method::GET, URI, encode::no_request, decode::raw).unwrap();
        let context = Context::default().with_timeout(Duration::from_secs(1));
        let error = client.invoke(context.clone(), ()).await.unwrap_err();
        assert_eq!((error.code(), error.is_unreached()), (Code::DeadlineExceeded, false));
        // By now the deadline has passed: nothing is sent.
        let error = client.invoke(context, ()).await.unwrap_err();
        assert_eq!((error.code(), error.is_unreached()), (Code::DeadlineExceeded, true));
    }

    #[tokio::test]
    async fn a_placeholder_is_filled_and_the_rest_is_the_query() {
        #[derive(serde::Serialize)]
        struct Find {
            id: &'static str,
            tag: Vec<&'static str>,
            page: Option<u8>,
        }
        let http = answering(|request| Response::new(Body::from(request.uri().to_string())));
        let uri = "http://here/profiles/{id}/addresses?v=1";
        let client =
            Client::new(http.clone(), Method::GET, uri, encode::query::<Find>, decode::raw)
                .unwrap();
        let find = Find { id: "a/{tag}?", tag: vec!["x y", "z"], page: None };
        assert_eq!(
            client.invoke(Context::default(), find).await.unwrap(),
            "http://here/profiles/a%2F%7Btag%7D%3F/addresses?v=1&tag=x%20y&tag=z"
        );
        let client = Client::new(http, Method::GET, uri, encode::no_request, decode::raw).unwrap();
        assert_eq!(client.invoke(Context::default(), ()).await.unwrap_err().code(), Code::Internal);
    }

    #[tokio::test]
    async fn a_relative_uri_is_a_mistake_that_shows_at_once() {
        let http = answering(|_| Response::new(Body::empty()));
        for uri in ["", "/greeting", "here:80", "http:///x", "\n"] {
            let client =
                Client::new(http.clone(), Method::GET, uri, encode::no_request, decode::raw);
            assert_eq!(client.unwrap_err().field, "uri", "{uri:?}");
        }
    }

    #[tokio::test]
    async fn a_response_that_is_too_large_is_not_kept() {
        let http = answering(|_| Response::new(Body::from(vec![0; 101])));
        let client = Client::new(http, Method::GET, URI, encode::no_request, decode::raw)
            .unwrap()
            .body_limit(100);
        let error = client.invoke(Context::default(), ()).await.unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted);
    }

    #[tokio::test]
    async fn a_response_that_breaks_the_contract_is_an_internal_error() {
        let http = answering(|_| Response::new(Body::from("<html>")));
        let client =
            Client::new(http, Method::GET, URI, encode::no_request, decode::json::<u8>).unwrap();
        let error = client.invoke(Context::default(), ()).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::Internal, "internal error"));
    }

    #[tokio::test]
    async fn the_finalizer_of_a_call_without_a_response_runs_too() {
        let runs = Arc::new(Mutex::new(Vec::new()));
        let http = service_fn(|_: Request<Body>| async { Err::<Response<Body>, _>("lost") });
        let client = Client::new(http, Method::GET, URI, encode::no_request, decode::raw)
            .unwrap()
            .finalizer({
                let runs = runs.clone();
                move |_, finished| runs.lock().unwrap().push((finished.status, finished.complete))
            });
        let error = client.invoke(Context::default(), ()).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::Unavailable, "lost"));
        assert_eq!(*runs.lock().unwrap(), [(None, false)]);
    }
}
