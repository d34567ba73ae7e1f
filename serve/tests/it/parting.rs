use crate::world::*;
use purlin_serve::{Protocol, Server};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};

/// A request that is refused before its body is read.
const REFUSED: &str = "PUT / HTTP/1.1\r\ncontent-length: 100000\r\n\r\n";

#[tokio::test]
async fn an_answer_is_not_lost_with_what_nobody_reads() {
    let (_server, address) = start_on_tcp(Server::new()).await;
    for _ in 0..20 {
        let mut client = tcp(address).await;
        client.write_all(REFUSED.as_bytes()).await.unwrap();
        client.write_all(&[b'x'; 50_000]).await.unwrap();
        let mut answer = String::new();
        // Its end is orderly: a reset would be an error here.
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_http_2_is_closed_in_order() {
    let (server, address) = start_on_tcp(Server::new().protocol(Protocol::Http2)).await;
    for opening in ["INVALID CONNECTION PREFACE\r\n\r\n", "PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n......"]
    {
        let mut client = tcp(address).await;
        client.write_all(opening.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"");
    }
    server.connections(0).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_end_is_waited_for_a_second() {
    for port in [Protocol::Any, Protocol::Http2] {
        let (server, at) = start_in_memory(Server::new().protocol(port));
        let mut client = dial(&at).await;
        client.write_all(REFUSED.as_bytes()).await.unwrap();
        rest(&mut client).await;
        let begun = Instant::now();
        while server.handle.connections() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
        let waited = begun.elapsed().as_secs_f64();
        assert!((0.9..1.1).contains(&waited), "{waited} s");
        assert_eq!(server.handle.timeouts(), 0, "nobody was late");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_goes_on_sending_is_waited_for_64_kib() {
    let (server, at) = start_in_memory(Server::new());
    let mut client = dial(&at).await;
    client.write_all(REFUSED.as_bytes()).await.unwrap();
    let mut sent = 0;
    while client.write_all(&[b'x'; 1000]).await.is_ok() {
        sent += 1000;
    }
    // What hyper has read before, and what is in the pipe.
    assert!((64_000..300_000).contains(&sent), "{sent} bytes");
    server.connections(0).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_over_waits_for_no_goodbye() {
    let (server, at) = start_in_memory(Server::new().drain(Duration::from_millis(100)));
    let mut client = dial(&at).await;
    client.write_all(REFUSED.as_bytes()).await.unwrap();
    rest(&mut client).await;
    let report = server.stop().await.unwrap();
    assert!(report.took < Duration::from_millis(200), "{report:?}");
    assert_eq!((report.finished, report.cut), (1, 0));
}
