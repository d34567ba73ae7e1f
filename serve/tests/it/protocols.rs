use crate::world::*;
use purlin_serve::{Protocol, Server};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn both_protocols_are_spoken_on_one_port() {
    let (_server, address) = start_on_tcp(Server::new()).await;
    let mut one = tcp(address).await;
    assert!(ask(&mut one, &get("/"), "hello").await.starts_with("HTTP/1.1 200 OK"));
    assert!(ask(&mut one, &get("/"), "hello").await.starts_with("HTTP/1.1 200 OK"));

    let mut two = http2(tcp(address).await).await;
    for _ in 0..3 {
        let response = two.send_request(request("/")).await.unwrap();
        assert_eq!(response.version(), http::Version::HTTP_2);
        assert_eq!(body(response).await, "hello");
    }
}

#[tokio::test(start_paused = true)]
async fn a_preface_that_comes_in_pieces_is_recognised() {
    let (_server, at) = start_in_memory(Server::new());
    let mut client = dial(&at).await;
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        client.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    client.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let mut frame = [0; 9];
    tokio::io::AsyncReadExt::read_exact(&mut client, &mut frame).await.unwrap();
    assert_eq!(frame[3], 4, "the server's SETTINGS");
}

#[tokio::test(start_paused = true)]
async fn what_only_looks_like_the_preface_is_http_1() {
    let (_server, at) = start_in_memory(Server::new());
    for pieces in [
        ["P", "UT / HTTP/1.1\r\nhost: here\r\ncontent-length: 0\r\n\r\n"],
        ["PRI ", "/ HTTP/1.1\r\nhost: here\r\n\r\n"],
    ] {
        let mut client = dial(&at).await;
        client.write_all(pieces[0].as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
        assert!(ask(&mut client, pieces[1], "hello").await.starts_with("HTTP/1.1 200 OK"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_port_may_be_for_one_protocol_only() {
    let (_server, at) = start_in_memory(Server::new().protocol(Protocol::Http2));
    let mut client = dial(&at).await;
    client.write_all(get("/").as_bytes()).await.unwrap();
    assert!(!rest(&mut client).await.contains("HTTP/1.1"));
    assert!(http2(dial(&at).await).await.send_request(request("/")).await.is_ok());

    let (_server, at) = start_in_memory(Server::new().protocol(Protocol::Http1));
    assert!(http2(dial(&at).await).await.send_request(request("/")).await.is_err());
    ask(&mut dial(&at).await, &get("/"), "hello").await;
}

#[tokio::test]
async fn a_request_carries_its_peer() {
    let (_server, address) = start_on_tcp(Server::new()).await;
    let mut client = tcp(address).await;
    let peer = client.local_addr().unwrap().to_string();
    ask(&mut client, &get("/peer"), &peer).await;

    let (_server, at) = start_in_memory(Server::new());
    let response = http2(dial(&at).await).await.send_request(request("/peer")).await.unwrap();
    assert_eq!(body(response).await, "memory");
}

#[tokio::test]
async fn a_body_longer_than_any_buffer_passes_both_ways() {
    let (_server, address) = start_on_tcp(Server::new()).await;
    let mut client = tcp(address).await;
    let sent = "y".repeat(1 << 20);
    let head = format!(
        "POST /echo HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        sent.len()
    );
    let (mut read, mut write) = client.split();
    let (answer, ()) = tokio::join!(rest(&mut read), async {
        write.write_all(head.as_bytes()).await.unwrap();
        write.write_all(sent.as_bytes()).await.unwrap();
    });
    assert_eq!(answer.matches('y').count(), sent.len());
}
