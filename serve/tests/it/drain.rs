use crate::world::*;
use purlin_serve::{Server, memory};
use std::{future::pending, time::Duration};
use tokio::{io::AsyncWriteExt, task::JoinSet, time::Instant};
use tower::service_fn;

#[tokio::test(start_paused = true)]
async fn an_idle_server_ends_at_once() {
    let (server, at) = start_in_memory(Server::new());
    let mut kept = dial(&at).await;
    ask(&mut kept, &get("/"), "hello").await;
    let mut two = http2(dial(&at).await).await;
    two.send_request(request("/")).await.unwrap();

    let report = server.stop().await.unwrap();
    assert!(report.took < Duration::from_millis(100), "{report:?}");
    assert_eq!((report.finished, report.cut), (2, 0));
    assert_eq!(rest(&mut kept).await, "");
    assert!(at.connect().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn peers_that_never_finish_do_not_hold_up_the_drain() {
    let (server, at) = start_in_memory(Server::new());
    let mut half = dial(&at).await;
    half.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
    let mut later_half = dial(&at).await;
    ask(&mut later_half, &get("/"), "hello").await;
    later_half.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
    let mut half_preface = dial(&at).await;
    half_preface.write_all(b"PRI * HT").await.unwrap();
    let mut mute = dial(&at).await;
    mute.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut silent = dial(&at).await;
    server.connections(5).await;

    let report = server.stop().await.unwrap();
    assert!(report.took < Duration::from_millis(1100), "{report:?}");
    assert_eq!((report.finished, report.cut), (5, 0));
    for client in [&mut half, &mut later_half, &mut half_preface, &mut silent] {
        assert_eq!(rest(client).await, "");
    }
}

#[tokio::test]
async fn the_drain_ends_by_its_deadline() {
    let draining = Server::new().drain(Duration::from_millis(300));
    let (server, address) = start_on_tcp(draining).await;
    let mut half = tcp(address).await;
    half.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
    let mut idle = tcp(address).await;
    ask(&mut idle, &get("/"), "hello").await;
    let mut stuck = tcp(address).await;
    ask(&mut stuck, &get("/stuck"), "200 OK").await;
    let mut two = http2(tcp(address).await).await;
    let stuck_stream = two.send_request(request("/stuck")).await.unwrap();
    let mut deaf = tcp(address).await;
    deaf.write_all(get("/huge").as_bytes()).await.unwrap();
    server.connections(5).await;

    let begun = Instant::now();
    let handle = server.handle.clone();
    let report = server.stop().await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
    assert_eq!(report.finished + report.cut, 5);
    assert!(report.cut >= 2, "{report:?}");
    assert_eq!(handle.connections(), 0);
    drop((stuck_stream, deaf));
}

#[tokio::test]
async fn every_call_in_flight_is_answered() {
    let (server, address) = start_on_tcp(Server::new()).await;
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let mut client = tcp(address).await;
        calls.spawn(async move {
            client.write_all(get("/second").as_bytes()).await.unwrap();
            let answer = rest(&mut client).await;
            assert!(answer.contains("connection: close"), "{answer}");
            answer
        });
    }
    for _ in 0..10 {
        let mut client = http2(tcp(address).await).await;
        for _ in 0..10 {
            let call = client.send_request(request("/second"));
            calls.spawn(async move { body(call.await.unwrap()).await });
        }
    }
    // sleeps: a call in flight shows no sign of it before it is answered.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(server.handle.connections(), 110);
    let report = server.stop();
    while let Some(answer) = calls.join_next().await {
        assert!(answer.unwrap().ends_with("a second"));
    }
    let report = report.await.unwrap();
    assert_eq!((report.finished, report.cut), (110, 0));
}

#[tokio::test]
async fn a_request_that_came_just_before_the_drain_is_answered() {
    for _ in 0..20 {
        let (server, address) = start_on_tcp(Server::new()).await;
        let mut kept = tcp(address).await;
        ask(&mut kept, &get("/"), "hello").await;
        let mut new = tcp(address).await;
        kept.write_all(get("/").as_bytes()).await.unwrap();
        new.write_all(get("/").as_bytes()).await.unwrap();
        let report = server.stop();
        assert!(rest(&mut kept).await.ends_with("hello"));
        assert!(rest(&mut new).await.ends_with("hello"));
        assert_eq!(report.await.unwrap().cut, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_in_progress_may_end_by_itself() {
    let (server, at) = start_in_memory(Server::new().drain(Duration::MAX));
    let mut client = http2(dial(&at).await).await;
    let response = client.send_request(request("/minutes")).await.unwrap();
    let report = server.stop();
    assert_eq!(body(response).await.matches("tick").count(), 5);
    assert_eq!(report.await.unwrap().cut, 0);
}

#[tokio::test]
async fn a_dropped_server_leaves_no_task() {
    let (accept, at) = memory();
    let server = Server::new();
    let handle = server.handle();
    let server = tokio::spawn(server.serve(accept, service_fn(answer), pending()));
    let mut one = dial(&at).await;
    ask(&mut one, &get("/stuck"), "200 OK").await;
    let mut half = dial(&at).await;
    half.write_all(b"GET / HT").await.unwrap();
    let mut raw = dial(&at).await;
    // A HEADERS frame with no CONTENT: GET http here /never, from the static and literal tables.
    raw.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    raw.write_all(b"\0\0\x10\x01\x05\0\0\0\x01\x82\x86\x04\x06/never\x01\x04here").await.unwrap();
    while handle.connections() < 3 {
        tokio::task::yield_now().await;
    }
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    let metrics = tokio::runtime::Handle::current().metrics();
    assert_eq!(metrics.num_alive_tasks(), 5, "the server, three connections and a stream");

    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(handle.connections(), 0);
    assert_eq!(metrics.num_alive_tasks(), 0);
    assert_eq!(rest(&mut half).await, "");
}
