use crate::world::*;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use purlin_serve::{ServeError, Server};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_stream::StreamExt as _;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A HEADERS frame: GET http here /stuck, which is answered and never ends.
const STUCK: &[u8] = b"\0\0\x10\x01\x05\0\0\0\x01\x82\x86\x04\x06/stuck\x01\x04here";

fn frame(kind: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    [&[0, 0, payload.len() as u8, kind, 0, 0, 0, 0, stream], payload].concat()
}

/// Every frame up to the end of the connection: its kind and its payload.
async fn frames(client: &mut DuplexStream) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut head = [0; 9];
    while client.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        client.read_exact(&mut payload).await.unwrap();
        frames.push((head[3], payload));
    }
    frames
}

#[tokio::test(start_paused = true)]
async fn a_flood_ends_its_connection_with_a_reason() {
    for (name, flood) in [
        ("settings", frame(4, 0, &[])),
        ("ping", frame(6, 0, &[0; 8])),
        ("priority", frame(2, 3, &[0; 5])),
        ("window update", frame(8, 0, &[0, 0, 0, 1])),
        ("unknown", frame(0xbe, 0, b"grease")),
    ] {
        let told = Arc::new(AtomicU32::new(0));
        let telling = told.clone();
        let server = Server::new().control_frame_limit(100).on_error(move |error| {
            assert!(matches!(error, ServeError::Flooded { .. }), "{error}");
            telling.fetch_add(1, Relaxed);
        });
        let (server, at) = start_in_memory(server);
        let mut client = dial(&at).await;
        client.write_all(PREFACE).await.unwrap();
        client.write_all(STUCK).await.unwrap();
        let begun = Instant::now();
        let (mut read, mut write) = tokio::io::split(client);
        let writing = tokio::spawn(async move {
            while write.write_all(&flood).await.is_ok() {}
            write
        });
        let mut said = Vec::new();
        read.read_to_end(&mut said).await.unwrap();
        // The last stream that was heard of, and ENHANCE_YOUR_CALM.
        let goodbye = [&frame(7, 0, &[]), &[0, 0, 0, 1, 0, 0, 0, 11][..]].concat();
        assert_eq!(said[said.len() - 17..][3..], goodbye[3..], "{name}");
        drop(read);
        drop(writing.await.unwrap());
        server.connections(0).await;
        assert!(begun.elapsed() < Duration::from_secs(1), "{name}");
        assert_eq!((server.handle.floods(), told.load(Relaxed)), (1, 1), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn streams_that_a_peer_has_reset_by_its_mistakes_are_a_flood() {
    let (server, at) = start_in_memory(Server::new());
    let mut client = dial(&at).await;
    client.write_all(PREFACE).await.unwrap();
    for id in (1..=251).step_by(2) {
        let mut get = STUCK.to_vec();
        (get[4], get[8]) = (4, id);
        // A priority that depends on itself is an error of the stream.
        let wrong = [get, frame(2, id, &[0, 0, 0, id, 0])].concat();
        if client.write_all(&wrong).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let frames = frames(&mut client).await;
    let (kind, payload) = frames.last().unwrap();
    assert_eq!((*kind, payload[7]), (7, 11));
    drop(client);
    server.connections(0).await;
    assert_eq!(server.handle.floods(), 1);
}

#[tokio::test(start_paused = true)]
async fn frames_that_come_slowly_are_no_flood() {
    let slow = Server::new().control_frame_limit(20).control_frame_rate(10);
    let (server, at) = start_in_memory(slow);
    let mut client = dial(&at).await;
    client.write_all(PREFACE).await.unwrap();
    client.write_all(STUCK).await.unwrap();
    for _ in 0..100 {
        client.write_all(&frame(6, 0, &[0; 8])).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!((server.handle.connections(), server.handle.floods()), (1, 0));
}

/// Streams both ways at once on so many streams with tiny windows, so that nearly every frame is
/// followed by a window update, and asks each second whether the server lives.
#[tokio::test(start_paused = true)]
async fn a_busy_client_is_no_flood() {
    const STREAMS: usize = 100;
    const PIECES: usize = 200;
    let (server, at) = start_in_memory(Server::new());
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(64)
        .initial_connection_window_size(65_535)
        .keep_alive_interval(Duration::from_secs(1))
        .keep_alive_while_idle(true);
    let (client, connection) = builder.handshake(TokioIo::new(dial(&at).await)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut calls = JoinSet::new();
    for _ in 0..STREAMS {
        let mut client = client.clone();
        calls.spawn(async move {
            let pieces = tokio_stream::iter(0..PIECES).then(|_| async {
                sleep(Duration::from_millis(50)).await;
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; 100])))
            });
            let body = StreamBody::new(pieces).boxed_unsync();
            let echo = Request::post("http://here/echo").body(body).unwrap();
            let response = client.send_request(echo).await.unwrap();
            response.into_body().collect().await.unwrap().to_bytes().len()
        });
    }
    let mut bytes = 0;
    while let Some(call) = calls.join_next().await {
        bytes += call.unwrap();
    }
    assert_eq!(bytes, STREAMS * PIECES * 100);
    sleep(Duration::from_secs(60)).await;
    assert_eq!((server.handle.floods(), server.handle.accepted()), (0, 1));
    assert!(!connection.is_finished());
}

/// Takes back every call before it is answered, at a rate at which hedging does that.
#[tokio::test(start_paused = true)]
async fn a_client_that_gives_up_calls_is_no_flood() {
    let (server, at) = start_in_memory(Server::new());
    let mut client = http2(dial(&at).await).await;
    for call in 0..5_000 {
        let given_up = client.send_request(request("/never"));
        assert!(tokio::time::timeout(Duration::from_millis(1), given_up).await.is_err());
        for _ in 0..9 {
            let answered = client.send_request(request("/")).await;
            assert!(answered.is_ok(), "after {call} calls that were given up");
        }
    }
    assert_eq!(server.handle.floods(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_all_that_a_busy_peer_has_sent() {
    let (accept, at) = purlin_serve::memory();
    let begun = Arc::new(AtomicU32::new(0));
    let counting = begun.clone();
    let service = tower::service_fn(move |request: Request<hyper::body::Incoming>| {
        if request.uri().path() == "/stuck" {
            counting.fetch_add(1, Relaxed);
        }
        answer(request)
    });
    let server = Server::new().stream_limit(10_000);
    tokio::spawn(server.serve(accept, service, std::future::pending()));
    let mut other = dial(&at).await;
    ask(&mut other, &get("/"), "hello").await;
    let mut busy = dial(&at).await;
    let mut many = PREFACE.to_vec();
    for id in (1..3000_u32).step_by(2) {
        let mut get = STUCK.to_vec();
        get[5..9].copy_from_slice(&id.to_be_bytes());
        many.extend(get);
    }
    // All of it is in the pipe before the server's tasks have their turn.
    busy.write_all(&many).await.unwrap();
    ask(&mut other, &get("/"), "hello").await;
    let begun = begun.load(Relaxed);
    assert!(begun < 1000, "{begun} calls came first");
}
