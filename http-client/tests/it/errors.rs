use crate::world::*;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use purlin_http_client::{Error, HttpClient, connect_fn};
use std::{error::Error as _, future::pending, io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpListener,
    time::Instant,
};

/// Every message of a chain of errors.
fn chain(error: &Error) -> String {
    let mut messages = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(source) = cause {
        messages.push(source.to_string());
        cause = source.source();
    }
    messages.join(": ")
}

#[tokio::test]
async fn where_nobody_listens_the_server_was_never_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let uri = format!("http://{address}/").parse().unwrap();
    let error = HttpClient::new().get_bytes(uri, 10).await.unwrap_err();
    assert!(error.is_connect() && !error.is_timeout());
    assert_eq!(error.address(), address);
    let Error::Connect(connect) = &error else { panic!("{error:?}") };
    assert_eq!(connect.kind(), Some(io::ErrorKind::ConnectionRefused));
    let chain = chain(&error);
    assert_eq!(chain.matches(&address).count(), 1, "{chain}");
    assert!(chain.contains("refused"), "{chain}");
}

#[tokio::test(start_paused = true)]
async fn connecting_into_the_void_ends_with_the_connect_timeout() {
    let void = connect_fn(|_uri| pending::<io::Result<DuplexStream>>());
    let client = HttpClient::over(void);
    for (client, seconds) in
        [(client.clone(), 5), (client.connect_timeout(Duration::from_secs(2)), 2)]
    {
        let begun = Instant::now();
        let error = client.get_bytes("http://void/".parse().unwrap(), 10).await.unwrap_err();
        assert_eq!(begun.elapsed().as_secs(), seconds);
        assert!(error.is_connect() && error.is_timeout());
        assert_eq!(error.to_string(), "could not connect to void:80");
    }
}

#[tokio::test]
async fn a_listener_whose_queue_is_full_ends_with_the_connect_timeout() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    let patience = Duration::from_millis(100);
    while let Ok(stream) =
        tokio::time::timeout(patience, tokio::net::TcpStream::connect(address)).await
    {
        waiting.push(stream.unwrap());
    }
    let client = HttpClient::new().connect_timeout(Duration::from_millis(200));
    let uri = format!("http://{address}/").parse().unwrap();
    let error = client.get_bytes(uri, 10).await.unwrap_err();
    assert!(error.is_connect() && error.is_timeout(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn without_an_option_an_exchange_may_take_for_ever() {
    let client = in_memory();
    let call = client.get_bytes("http://here/never".parse().unwrap(), 10);
    assert!(tokio::time::timeout(Duration::from_secs(86_400), call).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_timeout_covers_head_and_body() {
    let client = in_memory().timeout(Duration::from_secs(3));
    for path in ["/never", "/stuck"] {
        let begun = Instant::now();
        let uri = format!("http://here{path}").parse().unwrap();
        let error = client.get_bytes(uri, 10).await.unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
        assert!(error.is_timeout() && !error.is_connect());
        assert_eq!(error.to_string(), "here:80 took longer than 3s");
        assert_eq!(begun.elapsed().as_secs(), 3);
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_is_a_body_error() {
    let client = HttpClient::over(connect_fn(|_uri| async {
        let (near, mut far) = tokio::io::duplex(1024);
        tokio::spawn(async move {
            let _ = far.read(&mut [0; 1024]).await?;
            far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await
        });
        Ok(near)
    }));
    let error = client.get_bytes("http://here/".parse().unwrap(), 10).await.unwrap_err();
    assert!(matches!(error, Error::Body { .. }), "{error:?}");
    assert_eq!(error.address(), "here:80");
}

#[tokio::test]
async fn a_request_body_that_fails_is_a_body_error() {
    let server = serve_tcp(false).await;
    let pieces = [Ok(Frame::data(Bytes::from("half"))), Err("no more")];
    let body = StreamBody::new(tokio_stream::iter(pieces));
    let request = Request::post(server.uri("/never")).body(body).unwrap();
    let error = HttpClient::new().send(request).await.unwrap_err();
    assert!(matches!(error, Error::Body { .. }), "{error:?}");
    assert!(chain(&error).ends_with("no more"), "{}", chain(&error));
}

#[tokio::test]
async fn a_connection_lost_before_the_head_is_an_exchange_error() {
    let client = HttpClient::over(connect_fn(|_uri| async {
        let (near, mut far) = tokio::io::duplex(1024);
        tokio::spawn(async move {
            let _ = far.read(&mut [0; 1024]).await;
        });
        Ok(near)
    }));
    let error = client.get_bytes("http://here/".parse().unwrap(), 10).await.unwrap_err();
    assert!(matches!(error, Error::Exchange { .. }), "{error:?}");
    assert_eq!(error.address(), "here:80");
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_read() {
    let server = serve_tcp(false).await;
    let client = HttpClient::new();
    assert_eq!(
        client.get_bytes(server.uri("/large"), 100_000).await.unwrap().body().len(),
        100_000
    );
    let error = client.get_bytes(server.uri("/large"), 99_999).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 99_999, .. }), "{error:?}");
}

#[tokio::test]
async fn a_uri_without_a_host_is_an_error_and_no_panic() {
    for uri in ["/path", "ftp://host/", "*"] {
        let uri: http::Uri = uri.parse().unwrap();
        assert!(HttpClient::new().send(get(uri)).await.is_err());
    }
}

#[cfg(not(feature = "rustls"))]
#[tokio::test]
async fn https_without_tls_says_what_is_missing() {
    let uri = "https://127.0.0.1/".parse().unwrap();
    let error = HttpClient::new().get_bytes(uri, 10).await.unwrap_err();
    assert!(error.is_connect());
    assert_eq!(error.address(), "127.0.0.1:443");
    assert!(chain(&error).contains("feature `rustls`"), "{}", chain(&error));
}

#[tokio::test]
async fn the_body_says_how_long_it_is() {
    use http_body::Body;
    let server = serve_tcp(false).await;
    let response = HttpClient::new().send(get(server.uri("/"))).await.unwrap();
    assert_eq!(response.body().size_hint().exact(), Some(5));
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    assert!(body.is_end_stream());
}
