//! Deadlines, in a time that stands still until it is awaited.

use crate::{
    greeter::{CHAT, GREET_ALL, GREET_MANY, GREETING, decode, encode, from_greeting, to_name},
    own_client::pipe,
};
use futures_core::Stream;
use purlin_endpoint::{Code, Context, Endpoint as _, Error, Streaming, endpoint_fn};
use purlin_transport_grpc::{Client, Server};
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as Task, Poll},
    time::Duration,
};
use tokio::time::{Instant, Interval, interval};

const MINUTE: Duration = Duration::from_secs(60);

/// Says whether it was dropped.
struct Held(Arc<AtomicBool>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A greeting every second, for ever.
struct Ticks(Interval, #[expect(dead_code, reason = "it is there to be dropped")] Option<Held>);

impl Stream for Ticks {
    type Item = Result<String, Error>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_tick(task).map(|_| Some(Ok("Hello".to_owned())))
    }
}

fn ticking(dropped: &Arc<AtomicBool>) -> Server {
    let dropped = dropped.clone();
    let tick = endpoint_fn(move |_: Context, _: String| {
        let held = Some(Held(dropped.clone()));
        std::future::ready(Ok::<_, Error>(Streaming::new(Ticks(
            interval(Duration::from_secs(1)),
            held,
        ))))
    });
    Server::new().server_streaming(&GREET_MANY, tick, decode, encode)
}

fn sleeping() -> Server {
    let sleep = endpoint_fn(async |_: Context, name: String| {
        // sleeps: time is paused here, and passes by itself.
        tokio::time::sleep(MINUTE).await;
        Ok::<_, Error>(name)
    });
    Server::new().unary(&GREETING, sleep, decode, encode)
}

#[tokio::test(start_paused = true)]
async fn a_unary_call_ends_at_its_deadline() {
    let client = Client::unary(pipe(sleeping()), &GREETING, to_name, from_greeting);
    let begun = Instant::now();
    let context = Context::new().with_timeout(Duration::from_secs(3));
    let error = client.invoke(context, "Ann".to_owned()).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(begun.elapsed() - Duration::from_secs(3) < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn a_server_ends_a_call_at_the_callers_deadline_by_itself() {
    use crate::raw;
    use prost::Message as _;
    let ann = raw::framed(0, &crate::greeter::name("Ann").encode_to_vec());
    let begun = Instant::now();
    let head = raw::post("/greeter.Greeter/Greeting").header("grpc-timeout", "2S");
    let answer = raw::send(sleeping(), head, ann.clone()).await;
    assert_eq!(answer.code(), Code::DeadlineExceeded);
    assert_eq!(begun.elapsed().as_secs(), 2);

    let dropped = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let head = raw::post("/greeter.Greeter/GreetMany").header("grpc-timeout", "2500m");
    let answer = raw::send(ticking(&dropped), head, ann.clone()).await;
    assert_eq!(answer.code(), Code::DeadlineExceeded);
    assert_eq!(begun.elapsed().as_secs(), 2);
    assert!(dropped.load(Ordering::SeqCst));

    let head = raw::post("/greeter.Greeter/Greeting").header("grpc-timeout", "99999999H");
    let server = sleeping().max_timeout(Duration::from_secs(5));
    let begun = Instant::now();
    assert_eq!(raw::send(server, head, ann).await.code(), Code::DeadlineExceeded);
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_its_deadline_on_both_sides() {
    let dropped = Arc::new(AtomicBool::new(false));
    let client =
        Client::server_streaming(pipe(ticking(&dropped)), &GREET_MANY, to_name, from_greeting);
    let context = Context::new().with_timeout(Duration::from_millis(3500));
    let mut stream = client.invoke(context, "Ann".to_owned()).await.unwrap();
    for _ in 0..4 {
        assert!(stream.message().await.unwrap().is_some());
    }
    let error = stream.message().await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    // sleeps: time is paused here, and passes by itself.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_is_cancelled_on_the_server() {
    let dropped = Arc::new(AtomicBool::new(false));
    let client =
        Client::server_streaming(pipe(ticking(&dropped)), &GREET_MANY, to_name, from_greeting);
    let mut stream = client.invoke(Context::new(), "Ann".to_owned()).await.unwrap();
    assert!(stream.message().await.unwrap().is_some());
    drop(stream);
    // sleeps: time is paused here, and passes by itself.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(dropped.load(Ordering::SeqCst));
}

/// Requests that pause for ever after the first.
fn silent(dropped: &Arc<AtomicBool>) -> Streaming<String> {
    let held = Held(dropped.clone());
    let mut first = Some("Ann".to_owned());
    Streaming::new(Silent(move || {
        let _ = &held;
        first.take()
    }))
}

struct Silent<F>(F);

impl<F: FnMut() -> Option<String> + Unpin> Stream for Silent<F> {
    type Item = Result<String, Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        (self.0)().map_or(Poll::Pending, |name| Poll::Ready(Some(Ok(name))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_is_cancelled_even_while_the_requests_pause() {
    let (ours, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
    let echo = endpoint_fn(async |_: Context, names: Streaming<String>| Ok::<_, Error>(names));
    let told = ended.clone();
    let server = Server::new()
        .bidirectional(&CHAT, echo, decode, encode)
        .finalizer(move |_, code| *told.lock().unwrap() = Some(code));
    let client = Client::bidirectional(pipe(server), &CHAT, to_name, from_greeting);
    let mut stream = client.invoke(Context::new(), silent(&ours)).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap(), "Ann");
    assert!(!ours.load(Ordering::SeqCst));
    drop(stream);
    // sleeps: time is paused here, and passes by itself.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(ours.load(Ordering::SeqCst));
    assert_eq!(*ended.lock().unwrap(), Some(Code::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_over_lets_go_of_the_requests() {
    let ours = Arc::new(AtomicBool::new(false));
    let first = endpoint_fn(async |_: Context, mut names: Streaming<String>| {
        names.message().await.map(Option::unwrap_or_default)
    });
    let server = Server::new().client_streaming(&GREET_ALL, first, decode, encode);
    let client = Client::client_streaming(pipe(server), &GREET_ALL, to_name, from_greeting);
    assert_eq!(client.invoke(Context::new(), silent(&ours)).await.unwrap(), "Ann");
    // sleeps: time is paused here, and passes by itself.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(ours.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_up_is_not_sent() {
    let client = Client::unary(pipe(sleeping()), &GREETING, to_name, from_greeting);
    let context = Context::new().with_deadline(Instant::now());
    let error = client.invoke(context, "Ann".to_owned()).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(error.is_unreached());
}

#[tokio::test(start_paused = true)]
async fn each_hop_sees_at_most_what_remains() {
    let left = endpoint_fn(async |context: Context, _: String| {
        let left = context.remaining(Instant::now()).unwrap();
        Ok::<_, Error>(left.as_millis().to_string())
    });
    let last = Server::new().unary(&GREETING, left, decode, encode);
    let last = Client::unary(pipe(last), &GREETING, to_name, from_greeting);
    let middle = endpoint_fn(move |context: Context, name: String| {
        let last = last.clone();
        async move {
            // sleeps: time is paused here, and passes by itself.
            tokio::time::sleep(Duration::from_millis(400)).await;
            last.invoke(context.outgoing(), name).await
        }
    });
    let middle = Server::new().unary(&GREETING, middle, decode, encode);
    let first = Client::unary(pipe(middle), &GREETING, to_name, from_greeting);
    let context = Context::new().with_timeout(Duration::from_secs(1));
    let left: u64 = first.invoke(context, "Ann".to_owned()).await.unwrap().parse().unwrap();
    assert!((590..=600).contains(&left), "{left}");
}

#[tokio::test(start_paused = true)]
async fn a_conversation_without_a_deadline_goes_on() {
    let echo = endpoint_fn(async |_: Context, names: Streaming<String>| Ok::<_, Error>(names));
    let server = Server::new().bidirectional(&CHAT, echo, decode, encode);
    let client = Client::bidirectional(pipe(server), &CHAT, to_name, from_greeting);
    let ticks = Streaming::new(Ticks(interval(MINUTE), None));
    let mut echoed = client.invoke(Context::new(), ticks).await.unwrap();
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(echoed.message().await.unwrap().unwrap(), "Hello");
    }
    assert_eq!(begun.elapsed().as_secs(), 9 * 60);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_stream_that_its_peer_never_reads() {
    use crate::raw;
    use prost::Message as _;
    let dropped = Arc::new(AtomicBool::new(false));
    let (accept, dial) = purlin_serve::memory();
    let server = purlin_serve::Server::new();
    tokio::spawn(server.serve(accept, ticking(&dropped), std::future::pending::<()>()));
    let client = dial.connect().await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (mut client, mut connection) =
        builder.initial_window_size(0).handshake(client).await.unwrap();
    let begun = Instant::now();
    let answered = async {
        let head = raw::post("http://greeter/greeter.Greeter/GreetMany");
        let head = head.header("grpc-timeout", "2S").body(()).unwrap();
        let (response, mut request) = client.send_request(head, false).unwrap();
        let ann = raw::framed(0, &crate::greeter::name("Ann").encode_to_vec());
        request.send_data(ann, true).unwrap();
        let response = response.await.unwrap();
        while !dropped.load(Ordering::SeqCst) {
            // sleeps: time is paused here, and passes by itself.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        response
    };
    let response = tokio::select! {
        response = answered => response,
        ended = &mut connection => panic!("{ended:?}"),
    };
    let late = begun.elapsed() - Duration::from_secs(2);
    assert!(late < Duration::from_millis(50), "{late:?}");
    // Should it read all the same, it learns what has become of the call.
    connection.set_initial_window_size(1 << 16).unwrap();
    tokio::spawn(connection);
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        data.unwrap();
    }
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "4");
}
