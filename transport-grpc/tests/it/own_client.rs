//! Our client, in front of our server in this process and over connections.

use crate::greeter::{self, CHAT, GREET_ALL, GREET_MANY, GREETING, from_greeting, to_name};
use http::{HeaderMap, Uri};
use purlin_endpoint::{
    Code, Context, Endpoint, Error, Method, Request, Service, Streaming, endpoint_fn,
};
use purlin_http_client::connect_fn;
use purlin_transport_grpc::{Channel, Client, Server};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// A channel to a server in this process, by HTTP/2 over pipes.
pub(crate) fn pipe(server: Server) -> Channel {
    pipe_any(server)
}

/// The same to any service.
pub(crate) fn pipe_any<S, B>(server: S) -> Channel
where
    S: Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>>
        + Clone
        + Send
        + 'static,
    S::Error: Into<purlin_endpoint::BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<purlin_endpoint::BoxError>,
{
    let (accept, dial) = purlin_serve::memory();
    tokio::spawn(purlin_serve::Server::new().serve(accept, server, std::future::pending::<()>()));
    let connect = connect_fn(move |_: Uri| {
        let dial = dial.clone();
        async move { dial.connect().await }
    });
    Channel::over(connect, Uri::from_static("http://greeter"))
}

pub(crate) async fn all(mut stream: Streaming<String>) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    while let Some(message) = stream.message().await? {
        all.push(message);
    }
    Ok(all)
}

fn names(names: &[&str]) -> Streaming<String> {
    Streaming::iter(names.iter().map(|name| Ok((*name).to_owned())).collect::<Vec<_>>())
}

async fn calls_all_four_kinds<C, B>(channel: C)
where
    C: Service<http::Request<purlin_transport_grpc::Body>, Response = http::Response<B>>
        + Clone
        + Send
        + Sync
        + 'static,
    C::Error: Into<purlin_endpoint::BoxError>,
    C::Future: Send + 'static,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<purlin_endpoint::BoxError>,
{
    let context = Context::new;
    let unary = Client::unary(channel.clone(), &GREETING, to_name, from_greeting);
    assert_eq!(unary.invoke(context(), "Ann".to_owned()).await.unwrap(), "Hello, Ann!");

    let many = Client::server_streaming(channel.clone(), &GREET_MANY, to_name, from_greeting);
    let many = all(many.invoke(context(), "Ann".to_owned()).await.unwrap()).await.unwrap();
    assert_eq!(many, ["Hello, Ann!", "Hallo, Ann!", "Ciao, Ann!"]);

    let one = Client::client_streaming(channel.clone(), &GREET_ALL, to_name, from_greeting);
    let one = one.invoke(context(), names(&["Ann", "Bob"])).await.unwrap();
    assert_eq!(one, "Hello, Ann and Bob!");

    let chat = Client::bidirectional(channel, &CHAT, to_name, from_greeting);
    let chat = all(chat.invoke(context(), names(&["Ann", "Bob"])).await.unwrap()).await.unwrap();
    assert_eq!(chat, ["Hello, Ann!", "Hello, Bob!"]);
}

#[tokio::test]
async fn all_four_kinds_work_without_a_connection() {
    calls_all_four_kinds(greeter::server()).await;
}

#[tokio::test]
async fn all_four_kinds_work_over_pipes() {
    let channel = pipe(greeter::server());
    for _ in 0..3 {
        calls_all_four_kinds(channel.clone()).await;
    }
}

#[tokio::test]
async fn all_four_kinds_work_over_a_socket() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let serving = purlin_serve::Server::new();
    tokio::spawn(serving.serve(listener, greeter::server(), std::future::pending::<()>()));
    calls_all_four_kinds(Channel::new(origin)).await;
}

#[tokio::test]
async fn all_that_an_error_shows_reaches_the_caller() {
    let refuse = endpoint_fn(async |_: Context, name: String| {
        Err::<String, _>(
            Error::invalid("name", format!("is not {name} – ü%\n"))
                .retry_after(Duration::from_millis(250))
                .member("zone", "b")
                .caused_by("the password is swordfish"),
        )
    });
    let server = Server::new().unary(&GREETING, refuse, greeter::decode, greeter::encode);
    let client = Client::unary(pipe(server), &GREETING, to_name, from_greeting);
    let error = client.invoke(Context::new(), "Ann".to_owned()).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(error.message(), "name is not Ann – ü%\n");
    assert_eq!(error.violations()[0].description, "is not Ann – ü%\n");
    assert_eq!(error.retry_delay(), Some(Duration::from_millis(250)));
    assert_eq!(error.members().collect::<Vec<_>>(), [("zone", "b")]);
    assert!(!format!("{error:#?}").contains("swordfish"));
}

#[tokio::test]
async fn an_internal_failure_keeps_its_text_inside() {
    let fail = endpoint_fn(async |_: Context, _: String| {
        Err::<String, _>(Error::internal("the password is swordfish"))
    });
    let server = Server::new().unary(&GREETING, fail, greeter::decode, greeter::encode);
    let client = Client::unary(pipe(server), &GREETING, to_name, from_greeting);
    let error = client.invoke(Context::new(), "Ann".to_owned()).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Internal, "internal error"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_named_in_the_cause() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let channel = Channel::new(format!("http://{free}").parse().unwrap());
    let client = Client::unary(channel.clone(), &GREETING, to_name, from_greeting);
    for _ in 0..2 {
        let error = client.invoke(Context::new(), "Ann".to_owned()).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.is_unreached() && error.is_retryable());
        assert!(!error.message().contains(&free.to_string()));
        let text = format!("{error:#}");
        assert!(text.contains(&format!("could not connect to {free}")), "{text}");
        assert!(text.contains("refused"), "{text}");
    }
    assert!(channel.connect().await.is_err());
}

#[tokio::test]
async fn a_channel_connects_again_after_its_connection_broke() {
    let (accept, dial) = purlin_serve::memory();
    let serving = purlin_serve::Server::new().drain(Duration::from_millis(50));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let first = tokio::spawn(serving.serve(accept, greeter::server(), async {
        let _ = stopped.await;
    }));
    let way = Arc::new(Mutex::new(dial));
    let connect = {
        let way = way.clone();
        connect_fn(move |_: Uri| {
            let dial = way.lock().unwrap().clone();
            async move { dial.connect().await }
        })
    };
    let channel = Channel::over(connect, Uri::from_static("http://greeter"));
    let client = Client::unary(channel, &GREETING, to_name, from_greeting);
    assert!(client.invoke(Context::new(), "Ann".to_owned()).await.is_ok());

    let _ = stop.send(());
    first.await.unwrap();
    let (accept, dial) = purlin_serve::memory();
    *way.lock().unwrap() = dial;
    let serving = purlin_serve::Server::new();
    tokio::spawn(serving.serve(accept, greeter::server(), std::future::pending::<()>()));
    assert!(client.invoke(Context::new(), "Ann".to_owned()).await.is_ok());
}

/// Go kit's scenario for its gRPC transport: an id goes out as metadata, is consumed by the server,
/// and comes back in a trailer.
#[tokio::test]
async fn a_correlation_id_goes_to_the_server_and_comes_back() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct TestRequest {
        #[prost(string, tag = "1")]
        a: String,
        #[prost(int64, tag = "2")]
        b: i64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct TestResponse {
        #[prost(string, tag = "1")]
        v: String,
    }
    #[derive(Clone)]
    struct CorrelationId(String);
    static TEST: Method = Method::unary("pb.Test", "Test");

    let test = endpoint_fn(async |context: Context, (a, b): (String, i64)| {
        assert_eq!(context.get::<CorrelationId>().unwrap().0, "request-1");
        Ok::<_, Error>(format!("{a} = {b}"))
    });
    let extract = |context: Context, metadata: &HeaderMap| {
        let id = metadata.get("correlation-id").and_then(|value| value.to_str().ok());
        Ok(match id {
            Some(id) => context.with(CorrelationId(id.to_owned())),
            None => context,
        })
    };
    let server = Server::new()
        .before(extract)
        .before(|context, metadata| {
            assert!(metadata.contains_key("x-second"));
            Ok(context)
        })
        .after(|_, headers, _| {
            headers.insert("my-response-header", "has-a-value".parse().unwrap());
        })
        .after(|context, _, trailers| {
            let id = context.get::<CorrelationId>().unwrap();
            trailers.insert("correlation-id-consumed", id.0.parse().unwrap());
        })
        .unary(&TEST, test, |pb: TestRequest| Ok((pb.a, pb.b)), |v: String| Ok(TestResponse { v }));

    let seen = Arc::new(Mutex::new(Vec::new()));
    let client = Client::unary(
        pipe(server),
        &TEST,
        |(a, b): (String, i64)| Ok(TestRequest { a, b }),
        |pb: TestResponse| Ok(pb.v),
    )
    .before(|context, metadata| {
        let id = context.get::<CorrelationId>().unwrap();
        metadata.insert("correlation-id", id.0.parse().unwrap());
        Ok(())
    })
    .before(|_, metadata| {
        metadata.insert("x-second", "1".parse().unwrap());
        Ok(())
    })
    .after({
        let seen = seen.clone();
        move |_, headers, trailers| {
            let text = |map: &HeaderMap, name| map[name].to_str().unwrap().to_owned();
            let mut seen = seen.lock().unwrap();
            seen.push(text(headers, "my-response-header"));
            seen.push(text(trailers, "correlation-id-consumed"));
        }
    });
    let context = Context::new().with(CorrelationId("request-1".to_owned()));
    let question = "the answer to life the universe and everything".to_owned();
    let answer = client.invoke(context, (question, 42)).await.unwrap();
    assert_eq!(answer, "the answer to life the universe and everything = 42");
    assert_eq!(*seen.lock().unwrap(), ["has-a-value", "request-1"]);
}

#[tokio::test]
async fn a_request_stream_that_breaks_off_fails_the_call_with_its_own_error() {
    let client =
        Client::client_streaming(pipe(greeter::server()), &GREET_ALL, to_name, from_greeting);
    let broken = Streaming::iter([Ok("Ann".to_owned()), Err(Error::new(Code::DataLoss, "disk 7"))]);
    let error = client.invoke(Context::new(), broken).await.unwrap_err();
    assert_eq!(error.code(), Code::DataLoss);
    assert_eq!(format!("{error:#}"), "data loss: disk 7");
}

#[tokio::test]
async fn a_call_carries_what_travels_and_leaves_the_rest() {
    let echo = endpoint_fn(async |context: Context, _: String| {
        let id = context.request_id().unwrap().to_string();
        let left = context.remaining(tokio::time::Instant::now()).is_some();
        let criticality = context.criticality().as_str();
        let peer = context.peer().unwrap().to_string();
        let method = context.method().unwrap().to_string();
        Ok::<_, Error>(format!("{id} {} {left} {criticality} {peer} {method}", context.attempt()))
    });
    let server = |server: Server| server.unary(&GREETING, echo, greeter::decode, greeter::encode);
    let context = || {
        Context::new()
            .with_request_id("id-7".parse().unwrap())
            .with_attempt(2)
            .with_timeout(Duration::from_secs(5))
            .with_criticality(purlin_endpoint::Criticality::Sheddable)
    };
    let trusting = pipe(server(Server::new().trust_callers()));
    let client = Client::unary(trusting, &GREETING, to_name, from_greeting);
    let seen = client.invoke(context(), "Ann".to_owned()).await.unwrap();
    assert_eq!(seen, "id-7 2 true SHEDDABLE memory greeter.Greeter/Greeting");

    let doubting = pipe(server(Server::new()));
    let client = Client::unary(doubting, &GREETING, to_name, from_greeting);
    let seen = client.invoke(context(), "Ann".to_owned()).await.unwrap();
    assert_eq!(seen, "id-7 2 true CRITICAL memory greeter.Greeter/Greeting");
}

#[tokio::test]
async fn packed_messages_go_both_ways() {
    let long = "Ann ".repeat(1000);
    let server = greeter::server().gzip(true);
    let (lengths, seen) = {
        let seen = Arc::new(Mutex::new(Vec::new()));
        (seen.clone(), move |_: &Context, headers: &HeaderMap, _: &HeaderMap| {
            seen.lock().unwrap().push(headers.get("grpc-encoding").cloned());
        })
    };
    let client =
        Client::unary(pipe(server), &GREETING, to_name, from_greeting).gzip(true).after(seen);
    let answer = client.invoke(Context::new(), long.clone()).await.unwrap();
    assert_eq!(answer, format!("Hello, {long}!"));
    assert_eq!(lengths.lock().unwrap()[0].as_ref().unwrap(), "gzip");

    let client = Client::unary(pipe(greeter::server()), &GREETING, to_name, from_greeting);
    let error = client.clone().gzip(true).invoke(Context::new(), long.clone()).await.unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    assert!(client.invoke(Context::new(), long).await.is_ok());
}

#[tokio::test]
async fn a_message_over_a_limit_is_resource_exhausted_on_all_four_sides() {
    let long = "x".repeat(200);
    let call = async |client_out, server_in, server_out, client_in| {
        let server =
            greeter::server().max_request_message(server_in).max_response_message(server_out);
        let client = Client::unary(pipe(server), &GREETING, to_name, from_greeting)
            .max_request_message(client_out)
            .max_response_message(client_in);
        client.invoke(Context::new(), long.clone()).await.map_err(|error| error.code())
    };
    assert!(call(300, 300, 300, 300).await.is_ok());
    assert_eq!(call(100, 300, 300, 300).await, Err(Code::ResourceExhausted));
    assert_eq!(call(300, 100, 300, 300).await, Err(Code::ResourceExhausted));
    assert_eq!(call(300, 300, 100, 300).await, Err(Code::ResourceExhausted));
    assert_eq!(call(300, 300, 300, 100).await, Err(Code::ResourceExhausted));
}

#[tokio::test]
async fn a_client_is_an_endpoint_like_any_other() {
    let client = Client::unary(greeter::server(), &GREETING, to_name, from_greeting);
    let boxed = purlin_endpoint::BoxEndpoint::new(client);
    let mut own = boxed.clone();
    std::future::poll_fn(|task| own.poll_ready(task)).await.unwrap();
    let request = Request::new(Context::new(), "Ann".to_owned());
    assert_eq!(own.call(request).await.unwrap(), "Hello, Ann!");
}

/// A channel to a server that resets each call for this reason.
fn resetting(reason: h2::Reason) -> Channel {
    let connect = connect_fn(move |_: Uri| async move {
        let (ours, theirs) = tokio::io::duplex(4096);
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(theirs).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                respond.send_reset(reason);
            }
        });
        Ok(ours)
    });
    Channel::over(connect, Uri::from_static("http://greeter"))
}

#[tokio::test]
async fn a_reset_is_what_its_reason_says() {
    use h2::Reason;
    let table = [
        (Reason::REFUSED_STREAM, Code::Unavailable, true),
        (Reason::CANCEL, Code::Cancelled, false),
        (Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted, false),
        (Reason::INADEQUATE_SECURITY, Code::PermissionDenied, false),
        (Reason::PROTOCOL_ERROR, Code::Internal, false),
        (Reason::INTERNAL_ERROR, Code::Internal, false),
    ];
    for (reason, code, unreached) in table {
        let client = Client::unary(resetting(reason), &GREETING, to_name, from_greeting);
        let error = client.invoke(Context::new(), "Ann".to_owned()).await.unwrap_err();
        assert_eq!((error.code(), error.is_unreached()), (code, unreached), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_fail_at_once_for_a_while_after_connecting_failed() {
    let attempts = Arc::new(Mutex::new(0));
    let counted = attempts.clone();
    let connect = connect_fn(move |_: Uri| {
        *counted.lock().unwrap() += 1;
        async { Err::<tokio::io::DuplexStream, _>(std::io::ErrorKind::ConnectionRefused.into()) }
    });
    let channel = Channel::over(connect, Uri::from_static("http://greeter"))
        .backoff(Duration::from_secs(1), Duration::from_secs(2));
    let client = Client::unary(channel, &GREETING, to_name, from_greeting);
    let call = async || client.invoke(Context::new(), "Ann".to_owned()).await.unwrap_err();
    for (wait, expected) in [(0, 1), (790, 1), (420, 2), (1270, 2), (1000, 3)] {
        // sleeps: time is paused here, and passes by itself.
        tokio::time::sleep(Duration::from_millis(wait)).await;
        assert_eq!(call().await.code(), Code::Unavailable);
        assert_eq!(*attempts.lock().unwrap(), expected, "after {wait} ms more");
    }
}

#[tokio::test(start_paused = true)]
async fn connecting_takes_no_longer_than_it_may() {
    let connect =
        connect_fn(|_: Uri| std::future::pending::<std::io::Result<tokio::io::DuplexStream>>());
    let channel = Channel::over(connect, Uri::from_static("http://greeter"));
    let begun = tokio::time::Instant::now();
    let error = channel.connect().await.unwrap_err();
    assert_eq!((error.code(), begun.elapsed().as_secs()), (Code::Unavailable, 5));
    // A call's own deadline ends the waiting too.
    // sleeps: time is paused here, and passes by itself.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let client = Client::unary(channel, &GREETING, to_name, from_greeting);
    let begun = tokio::time::Instant::now();
    let context = Context::new().with_timeout(Duration::from_secs(1));
    let error = client.invoke(context, "Ann".to_owned()).await.unwrap_err();
    assert_eq!((error.code(), begun.elapsed().as_secs()), (Code::DeadlineExceeded, 1));
}
