use crate::world::*;
use bytes::Bytes;
use http::Request;
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use purlin_http_client::{HttpClient, connect_fn};
use std::{collections::VecDeque, convert::Infallible, time::Duration};
use tokio::task::JoinSet;
use tower_service::Service;

#[tokio::test]
async fn any_body_can_be_sent() {
    let server = serve_tcp(false).await;
    let mut client = HttpClient::new();
    let post = |body| Request::post(server.uri("/echo")).body(body).unwrap();
    let response = client.call(post(Full::new(Bytes::from("full")))).await.unwrap();
    assert_eq!(read(response).await, "full");

    // A body of pieces whose data is not `Bytes`, and cannot be cloned or shared.
    let pieces =
        ["pie", "ces"].map(|piece| Ok::<_, Infallible>(VecDeque::from(piece.as_bytes().to_vec())));
    let pieces = StreamBody::new(tokio_stream::iter(pieces.map(|piece| piece.map(Frame::data))));
    let response = client.call(Request::post(server.uri("/echo")).body(pieces).unwrap()).await;
    assert_eq!(read(response.unwrap()).await, "pieces");
}

#[tokio::test]
async fn a_body_whose_length_is_known_is_sent_with_it() {
    let server = serve_tcp(false).await;
    let mut client = HttpClient::new();
    let request = Request::post(server.uri("/length")).body(Full::new(Bytes::from("full")));
    let response = client.call(request.unwrap()).await.unwrap();
    assert_eq!(read(response).await, r#"Some("4")"#);
    let nothing = client.call(get(server.uri("/length"))).await.unwrap();
    assert_eq!(read(nothing).await, "None");
}

#[tokio::test]
async fn clones_share_connections() {
    let server = serve_tcp(false).await;
    let client = HttpClient::new();
    for _ in 0..5 {
        let response = client.clone().get_bytes(server.uri("/"), 10).await.unwrap();
        assert_eq!(response.body(), "hello");
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn an_option_begins_a_new_pool() {
    let server = serve_tcp(false).await;
    let client = HttpClient::new();
    client.get_bytes(server.uri("/"), 10).await.unwrap();
    client.idle_limit(0).get_bytes(server.uri("/"), 10).await.unwrap();
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn no_more_connections_are_kept_than_the_limit() {
    let server = serve_tcp(false).await;
    let client = HttpClient::new().idle_limit(0);
    for _ in 0..3 {
        client.get_bytes(server.uri("/"), 10).await.unwrap();
    }
    assert_eq!(server.accepted(), 3);
}

#[tokio::test]
async fn http_2_is_spoken_with_prior_knowledge_on_one_connection() {
    let server = serve_tcp(true).await;
    let client = HttpClient::new().http2().ping_interval(Duration::from_secs(10));
    let first = client.get_bytes(server.uri("/version"), 10).await.unwrap();
    assert_eq!(first.body(), "HTTP/2.0");
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let (client, uri) = (client.clone(), server.uri("/version"));
        calls.spawn(async move { client.get_bytes(uri, 10).await.unwrap().into_body() });
    }
    while let Some(version) = calls.join_next().await {
        assert_eq!(version.unwrap(), "HTTP/2.0");
    }
    assert_eq!(server.accepted(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_reached_whatever_the_host() {
    let name = format!("purlin-http-client-{}.sock", std::process::id());
    let path = std::env::temp_dir().join(name);
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, false).await;
    });
    let client = HttpClient::over(purlin_http_client::Unix::new(&path));
    let uri = "http://anything/".parse().unwrap();
    assert_eq!(client.get_bytes(uri, 10).await.unwrap().body(), "hello");
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn a_function_makes_connections() {
    let client = HttpClient::over(connect_fn(|uri| async move {
        assert_eq!(uri.host(), Some("inside"));
        let (near, far) = tokio::io::duplex(1024);
        tokio::spawn(serve(far, true));
        Ok(near)
    }))
    .http2();
    let uri = "http://inside/version".parse().unwrap();
    assert_eq!(client.get_bytes(uri, 10).await.unwrap().body(), "HTTP/2.0");
}

#[tokio::test]
async fn a_connection_that_the_server_closed_while_idle_is_replaced() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri: http::Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nup").await.unwrap();
        }
    });
    let client = HttpClient::new();
    for _ in 0..10 {
        assert_eq!(client.get_bytes(uri.clone(), 10).await.unwrap().body(), "up");
        // sleeps: the peer closes without a sign that the client could wait for.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
