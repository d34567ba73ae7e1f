use crate::world::*;
use http::Request;
use http_body_util::Empty;
use purlin_serve::Server;
use std::time::Duration;
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep},
};

/// How many seconds pass until a connection is closed.
async fn closed_after(client: &mut (impl tokio::io::AsyncRead + Unpin)) -> f64 {
    let begun = Instant::now();
    rest(client).await;
    begun.elapsed().as_secs_f64()
}

fn about(seconds: f64, expected: f64) {
    assert!((seconds - expected).abs() < 0.1, "{seconds} s instead of {expected}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_after_the_first_byte_timeout() {
    let (server, at) = start_in_memory(Server::new());
    about(closed_after(&mut dial(&at).await).await, 5.0);
    assert_eq!(server.handle.timeouts(), 1);
}

#[tokio::test(start_paused = true)]
async fn half_a_preface_is_closed_after_the_header_timeout() {
    let (_server, at) = start_in_memory(Server::new());
    let mut client = dial(&at).await;
    client.write_all(b"PRI * HT").await.unwrap();
    about(closed_after(&mut client).await, 10.0);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_is_closed_after_the_header_timeout() {
    let (server, at) = start_in_memory(Server::new());
    let (mut read, mut write) = tokio::io::split(dial(&at).await);
    tokio::spawn(async move {
        for byte in b"GET / HTTP/1.1\r\nhost: a-long-name-that-trickles".iter().cycle() {
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
    });
    about(closed_after(&mut read).await, 10.0);
    assert_eq!(server.handle.timeouts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_later_head_has_the_header_timeout_from_its_own_first_byte() {
    let (_server, at) = start_in_memory(Server::new());
    let mut client = dial(&at).await;
    ask(&mut client, &get("/"), "hello").await;
    sleep(Duration::from_secs(60)).await;
    client.write_all(b"GET / HT").await.unwrap();
    sleep(Duration::from_secs(6)).await;
    client.write_all(b"TP/1.1\r\n").await.unwrap();
    about(closed_after(&mut client).await, 4.0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_that_is_in_time_is_answered() {
    let (_server, at) = start_in_memory(Server::new());
    let mut client = dial(&at).await;
    client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    sleep(Duration::from_secs(9)).await;
    ask(&mut client, "host: here\r\n\r\n", "hello").await;
    // The timeout of that head is over and must not touch what comes after it.
    sleep(Duration::from_secs(30)).await;
    ask(&mut client, &get("/"), "hello").await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_the_idle_timeout() {
    let (_server, at) = start_in_memory(Server::new());
    let mut client = dial(&at).await;
    for _ in 0..5 {
        ask(&mut client, &get("/"), "hello").await;
        sleep(Duration::from_secs(70)).await;
    }
    about(closed_after(&mut client).await, 5.0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_http_2_connection_is_closed_after_the_idle_timeout() {
    let (server, at) = start_in_memory(Server::new());
    let mut client = http2(dial(&at).await).await;
    for _ in 0..3 {
        client.send_request(request("/")).await.unwrap();
        sleep(Duration::from_secs(70)).await;
    }
    let begun = Instant::now();
    client.ready().await.unwrap();
    while !client.is_closed() {
        sleep(Duration::from_millis(50)).await;
    }
    about(begun.elapsed().as_secs_f64(), 5.0);
    assert_eq!(server.handle.timeouts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_is_closed_after_the_stall_timeout() {
    let (server, at) = start_in_memory(Server::new());
    let begun = Instant::now();
    let mut client = dial(&at).await;
    client.write_all(get("/huge").as_bytes()).await.unwrap();
    server.connections(1).await;
    while server.handle.connections() > 0 {
        sleep(Duration::from_millis(50)).await;
    }
    about(begun.elapsed().as_secs_f64(), 30.0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_slowly_is_served() {
    let (_server, at) = start_in_memory(Server::new());
    let mut client = dial(&at).await;
    client.write_all(get("/huge").as_bytes()).await.unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    while total < 16 << 20 {
        sleep(Duration::from_secs(2)).await;
        total += tokio::io::AsyncReadExt::read(&mut client, &mut buffer).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_streaming_response_outlives_every_timeout() {
    let (_server, at) = start_in_memory(Server::new());
    let mut one = dial(&at).await;
    let mut two = http2(dial(&at).await).await;
    let minutes = get("/minutes");
    let (one, two) = tokio::join!(ask(&mut one, &minutes, "\r\n0\r\n\r\n"), async {
        body(two.send_request(request("/minutes")).await.unwrap()).await
    });
    assert_eq!(one.matches("tick").count(), 5);
    assert_eq!(two.matches("tick").count(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_late_service_is_answered_for() {
    let (_server, at) = start_in_memory(Server::new());
    let begun = Instant::now();
    let mut one = dial(&at).await;
    let answer = ask(&mut one, &get("/never"), "}").await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    about(begun.elapsed().as_secs_f64(), 30.0);

    let mut two = http2(dial(&at).await).await;
    assert_eq!(two.send_request(request("/never")).await.unwrap().status(), 504);
    about(begun.elapsed().as_secs_f64(), 60.0);
}

#[tokio::test(start_paused = true)]
async fn a_grpc_call_is_left_to_its_own_deadline() {
    let (_server, at) = start_in_memory(Server::new());
    let mut client = http2(dial(&at).await).await;
    let call = Request::post("http://here/never")
        .header("content-type", "application/grpc+proto")
        .body(Empty::new())
        .unwrap();
    let call = client.send_request(call);
    assert!(tokio::time::timeout(Duration::from_secs(3600), call).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_is_closed_between_calls() {
    let old = Server::new().age(Duration::from_secs(100));
    let (_server, at) = start_in_memory(old);
    let mut client = dial(&at).await;
    let begun = Instant::now();
    loop {
        if client.write_all(get("/").as_bytes()).await.is_err() {
            break;
        }
        ask(&mut client, "", "hello").await;
        sleep(Duration::from_secs(1)).await;
    }
    let age = begun.elapsed().as_secs_f64();
    assert!((89.0..112.0).contains(&age), "{age}");
}

#[tokio::test(start_paused = true)]
async fn a_call_on_an_old_connection_has_its_grace() {
    let old = Server::new().age(Duration::from_secs(100)).age_grace(Duration::from_secs(5));
    let (_server, at) = start_in_memory(old);
    let mut client = dial(&at).await;
    let begun = Instant::now();
    client.write_all(get("/minutes").as_bytes()).await.unwrap();
    let answer = rest(&mut client).await;
    assert_eq!(answer.matches("tick").count(), 1, "{answer}");
    let age = begun.elapsed().as_secs_f64();
    assert!((95.0..115.1).contains(&age), "{age}");
}

#[tokio::test(start_paused = true)]
async fn an_http_2_peer_that_answers_no_ping_is_closed() {
    let asking = Server::new().ping_interval(Duration::from_secs(10));
    let (server, at) = start_in_memory(asking);
    let mut client = dial(&at).await;
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    client.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    server.connections(1).await;
    let seconds = closed_after(&mut client).await;
    assert!(seconds < 75.0, "{seconds}");
}
