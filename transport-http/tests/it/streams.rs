use crate::{Diary, expect_panics, get, send, text};
use http::{Method as Verb, Request};
use http_body::Body as _;
use purlin_endpoint::{
    Code, Context, Endpoint as _, Error, Layer as _, Method, MethodLayer, Streaming, endpoint_fn,
};
use purlin_transport_http::{Body, Client, Event, HttpService, Server, client, decode, encode};
use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::mpsc;

static COUNT: Method = Method::server_streaming("count.Counter", "Count");

/// A stream that is fed from outside.
struct Fed(mpsc::UnboundedReceiver<Result<u32, Error>>);

impl futures_core::Stream for Fed {
    type Item = Result<u32, Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        task: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(task).map(|item| {
            if let Some(Ok(666)) = item {
                panic!("secret");
            }
            item
        })
    }
}

type Feed = mpsc::UnboundedSender<Result<u32, Error>>;

/// A server of one stream, its feed, and what its guards and finalizer note.
fn counting() -> (impl HttpService<Error = std::convert::Infallible>, Feed, Diary) {
    let (feed, fed) = mpsc::unbounded_channel();
    let fed = Arc::new(Mutex::new(Some(fed)));
    let diary = Diary::default();
    let endpoint = endpoint_fn(move |_: Context, ()| {
        let fed = fed.lock().unwrap().take().unwrap();
        async move { Ok::<_, Error>(Streaming::new(Fed(fed))) }
    });
    let server = Server::new(diary.layer().layer(endpoint), decode::no_request, encode::json_lines)
        .method(&COUNT)
        .error_handler({
            let diary = diary.clone();
            move |_, error| diary.note(format!("handled {}", error.code()))
        })
        .finalizer({
            let diary = diary.clone();
            move |_, finished| {
                diary.note(format!("{} bytes, complete: {}", finished.bytes, finished.complete));
            }
        });
    (server, feed, diary)
}

#[tokio::test]
async fn a_call_lasts_until_its_last_byte() {
    let (server, feed, diary) = counting();
    let mut body = get(server, "/").await.into_body();
    assert_eq!(diary.take(), [""; 0]);
    feed.send(Ok(1)).unwrap();
    assert_eq!(body.chunk().await.unwrap().unwrap(), "1\n");
    feed.send(Ok(20)).unwrap();
    assert_eq!(body.chunk().await.unwrap().unwrap(), "20\n");
    assert_eq!(diary.take(), [""; 0]);
    drop(feed);
    assert_eq!(body.chunk().await.unwrap(), None);
    assert_eq!(diary.take(), ["streamed", "5 bytes, complete: true"]);
}

#[tokio::test]
async fn a_peer_that_leaves_drops_the_call() {
    let timed = Request::get("/").header("x-request-timeout-ms", "1000");
    for request in [Request::get("/"), timed] {
        let (server, feed, diary) = counting();
        let mut body = send(server, request.body(Body::empty()).unwrap()).await.into_body();
        feed.send(Ok(1)).unwrap();
        body.chunk().await.unwrap();
        drop(body);
        assert!(feed.is_closed());
        assert_eq!(diary.take(), ["dropped", "2 bytes, complete: false"]);
    }
}

#[tokio::test]
async fn an_error_in_the_stream_breaks_it_off() {
    let (server, feed, diary) = counting();
    let mut body = get(server, "/").await.into_body();
    feed.send(Err(Error::of(Code::DataLoss))).unwrap();
    assert_eq!(body.chunk().await.unwrap_err().code(), Code::DataLoss);
    assert_eq!(
        diary.take(),
        ["broke off: DATA_LOSS", "handled DATA_LOSS", "0 bytes, complete: false"]
    );
}

#[tokio::test]
async fn a_panic_in_the_stream_breaks_it_off_and_its_guards_know() {
    expect_panics();
    let (server, feed, diary) = counting();
    let mut body = get(server, "/").await.into_body();
    feed.send(Ok(666)).unwrap();
    let error = body.chunk().await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Internal, "internal error"));
    assert_eq!(diary.take(), ["panicked", "handled INTERNAL", "0 bytes, complete: false"]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_cuts_the_stream() {
    let (server, feed, diary) = counting();
    let request = Request::get("/").header("x-request-timeout-ms", "1000");
    let mut body = send(server, request.body(Body::empty()).unwrap()).await.into_body();
    feed.send(Ok(1)).unwrap();
    body.chunk().await.unwrap();
    assert_eq!(body.chunk().await.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(diary.take()[0], "broke off: DEADLINE_EXCEEDED");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_cuts_a_stream_that_never_pauses() {
    let endpoint = endpoint_fn(|_: Context, ()| async {
        Ok::<_, Error>(Streaming::iter(std::iter::repeat_with(|| Ok(1))))
    });
    let server = Server::new(endpoint, decode::no_request, encode::json_lines)
        .max_timeout(Duration::from_secs(1));
    let mut body = get(server, "/").await.into_body();
    body.chunk().await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(body.chunk().await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_layer_outside_the_server_sees_the_end_as_well() {
    let diary = Diary::default();
    let endpoint =
        endpoint_fn(|_: Context, ()| async { Ok::<_, Error>(Streaming::iter([Ok(1), Ok(2)])) });
    let server = Server::new(diary.layer().layer(endpoint), decode::no_request, encode::json_lines);
    let outside = MethodLayer::new(&COUNT).layer(diary.layer().layer(server));
    let response = get(outside, "/").await;
    assert_eq!(diary.take(), [""; 0]);
    assert_eq!(text(response).await, "1\n2\n");
    assert_eq!(diary.take(), ["streamed", "streamed"]);
}

#[tokio::test]
async fn an_endpoint_that_fails_has_no_stream_to_wait_for() {
    let diary = Diary::default();
    let endpoint =
        endpoint_fn(|_: Context, ()| async { Err::<Streaming<u8>, _>(Error::of(Code::NotFound)) });
    let server = Server::new(diary.layer().layer(endpoint), decode::no_request, encode::json_lines)
        .method(&COUNT);
    assert_eq!(get(server, "/").await.status(), 404);
    assert_eq!(diary.take(), ["returned"]);
}

#[tokio::test]
async fn trailers_come_after_the_last_byte() {
    let endpoint = endpoint_fn(|context: Context, ()| async move {
        context.reply().trailer("X-Sum", "3");
        Ok::<_, Error>("body")
    });
    let mut body =
        get(Server::new(endpoint, decode::no_request, encode::text), "/").await.into_body();
    assert!(body.size_hint().exact().is_none() && !body.is_end_stream());
    let mut next = async || poll_fn(|task| Pin::new(&mut body).poll_frame(task)).await;
    assert_eq!(next().await.unwrap().unwrap().into_data().unwrap(), "body");
    assert_eq!(next().await.unwrap().unwrap().into_trailers().unwrap()["x-sum"], "3");
    assert!(next().await.is_none());
}

#[tokio::test]
async fn a_stream_of_requests_is_read_as_it_comes() {
    let endpoint = endpoint_fn(|_: Context, mut numbers: Streaming<u32>| async move {
        let mut sum = 0;
        while let Some(number) = numbers.message().await? {
            sum += number;
        }
        Ok::<_, Error>(sum)
    });
    let server = Server::new(endpoint, decode::json_lines::<u32>, encode::json);
    let post = |body: &'static str| {
        let request = Request::post("/").header("content-type", "application/x-ndjson");
        request.body(Body::from(body)).unwrap()
    };
    assert_eq!(text(send(server.clone(), post("1\n2\r\n\n 3")).await).await, "6");
    assert_eq!(text(send(server.clone(), post("")).await).await, "0");
    assert_eq!(send(server.clone(), post("1\nx\n")).await.status(), 400);
    assert_eq!(get(server, "/").await.status(), 415);
}

#[tokio::test(start_paused = true)]
async fn events_are_sent_as_they_come_and_a_quiet_stream_shows_that_it_lives() {
    let (feed, fed) = mpsc::unbounded_channel::<Result<u32, Error>>();
    let fed = Arc::new(Mutex::new(Some(fed)));
    let endpoint = endpoint_fn(move |_: Context, ()| {
        let fed = Fed(fed.lock().unwrap().take().unwrap());
        async move { Ok::<_, Error>(Streaming::new(Events(fed))) }
    });
    let response = get(Server::new(endpoint, decode::no_request, encode::sse), "/").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-cache");
    let mut body = response.into_body();
    feed.send(Ok(1)).unwrap();
    assert_eq!(body.chunk().await.unwrap().unwrap(), "event: count\ndata: 1\n\n");
    let begun = tokio::time::Instant::now();
    assert_eq!(body.chunk().await.unwrap().unwrap(), ":\n\n");
    assert_eq!(begun.elapsed(), Duration::from_secs(15));
    drop(feed);
    assert_eq!(body.chunk().await.unwrap(), None);
}

struct Events(Fed);

impl futures_core::Stream for Events {
    type Item = Result<Event, Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        task: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let number = std::task::ready!(Pin::new(&mut self.0).poll_next(task));
        let event = number.map(|number| Ok(Event::json(&number?)?.name("count")));
        std::task::Poll::Ready(event)
    }
}

#[tokio::test]
async fn a_client_reads_the_stream_and_its_guards_see_the_end() {
    let (server, feed, served) = counting();
    let client = Client::new(
        server,
        Verb::GET,
        "http://here/",
        client::encode::no_request,
        client::decode::json_lines::<u32>,
    );
    let called = Diary::default();
    let client = MethodLayer::new(&COUNT).layer(called.layer().layer(client.unwrap()));
    let mut numbers = client.invoke(Context::default(), ()).await.unwrap();
    feed.send(Ok(1)).unwrap();
    assert_eq!(numbers.message().await.unwrap(), Some(1));
    assert_eq!((called.take(), served.take()), (vec![], vec![]));
    drop(feed);
    assert_eq!(numbers.message().await.unwrap(), None);
    assert_eq!(called.take(), ["streamed"]);
    assert_eq!(served.take(), ["streamed", "2 bytes, complete: true"]);
}

#[tokio::test]
async fn a_client_sees_a_stream_that_breaks_off() {
    let (server, feed, _) = counting();
    let client = Client::new(
        server,
        Verb::GET,
        "http://here/",
        client::encode::no_request,
        client::decode::json_lines::<u32>,
    );
    let called = Diary::default();
    let client = MethodLayer::new(&COUNT).layer(called.layer().layer(client.unwrap()));
    let mut numbers = client.invoke(Context::default(), ()).await.unwrap();
    feed.send(Err(Error::of(Code::Aborted))).unwrap();
    assert_eq!(numbers.message().await.unwrap_err().code(), Code::Aborted);
    assert_eq!(called.take(), ["broke off: ABORTED"]);
}

#[tokio::test(start_paused = true)]
async fn a_clients_deadline_covers_the_stream() {
    let (server, feed, _) = counting();
    // A server that does not know of the deadline.
    let http = tower::ServiceBuilder::new()
        .map_request(|mut request: Request<Body>| {
            request.headers_mut().remove("x-request-timeout-ms");
            request
        })
        .service(server);
    let client = Client::new(
        http,
        Verb::GET,
        "http://here/",
        client::encode::no_request,
        client::decode::json_lines::<u32>,
    );
    let context = Context::default().with_timeout(Duration::from_secs(1));
    let mut numbers = client.unwrap().invoke(context, ()).await.unwrap();
    feed.send(Ok(1)).unwrap();
    assert_eq!(numbers.message().await.unwrap(), Some(1));
    assert_eq!(numbers.message().await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn events_come_back_through_a_client() {
    let endpoint = endpoint_fn(|_: Context, ()| async {
        let events = ["a", "b\nc"].map(|data| Ok(Event::new(data).id("1")));
        Ok::<_, Error>(Streaming::iter(events))
    });
    let server = Server::new(endpoint, decode::no_request, encode::sse);
    let client = Client::new(
        server,
        Verb::GET,
        "http://here/",
        client::encode::no_request,
        client::decode::sse,
    );
    let mut events = client.unwrap().invoke(Context::default(), ()).await.unwrap();
    assert_eq!(events.message().await.unwrap().unwrap().data, "a");
    assert_eq!(events.message().await.unwrap().unwrap().data, "b\nc");
    assert_eq!(events.message().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_stream_that_its_peer_never_reads() {
    let (server, feed, diary) = counting();
    let (accept, dial) = purlin_serve::memory();
    let server = tower::ServiceBuilder::new()
        .map_request(|request: Request<hyper::body::Incoming>| request.map(Body::new))
        .service(server);
    tokio::spawn(purlin_serve::Server::new().serve(accept, server, std::future::pending::<()>()));
    let client = dial.connect().await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (mut client, mut connection) =
        builder.initial_window_size(0).handshake::<_, &[u8]>(client).await.unwrap();
    let begun = tokio::time::Instant::now();
    let answered = async {
        let head = Request::get("http://count/").header("x-request-timeout-ms", "2000");
        let (response, _) = client.send_request(head.body(()).unwrap(), true).unwrap();
        let response = response.await.unwrap();
        feed.send(Ok(1)).unwrap();
        feed.closed().await;
        response
    };
    let response = tokio::select! {
        response = answered => response,
        ended = &mut connection => panic!("{ended:?}"),
    };
    let late = begun.elapsed() - Duration::from_secs(2);
    assert!(late < Duration::from_millis(50), "{late:?}");
    let ended = ["broke off: DEADLINE_EXCEEDED", "handled DEADLINE_EXCEEDED"];
    assert_eq!(diary.take()[..2], ended);
    // Should it read all the same, it learns that there is no more.
    connection.set_initial_window_size(1 << 16).unwrap();
    tokio::spawn(connection);
    let mut body = response.into_body();
    let end = loop {
        match body.data().await {
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    assert!(end.is_some_and(|end| end.is_err()));
}
