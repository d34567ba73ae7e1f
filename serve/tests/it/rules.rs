use crate::world::*;
use http::Request;
use http_body_util::Empty;
use purlin_serve::Server;
use tokio::io::AsyncWriteExt;

async fn status(server: Server, send: &str) -> String {
    let (_server, at) = start_in_memory(server);
    let mut client = dial(&at).await;
    client.write_all(send.as_bytes()).await.unwrap();
    rest(&mut client).await
}

#[tokio::test(start_paused = true)]
async fn a_request_without_one_valid_host_is_refused() {
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: u@a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost:\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: a b\r\n\r\n",
    ] {
        // A second request behind it must not be answered: the two sides disagree already.
        let answer = status(Server::new(), &format!("{head}{}", get("/"))).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "),
            "{answer}"
        );
        assert!(answer.contains("application/problem+json"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{answer}");

        let lenient = status(Server::new().host_rules(false), head).await;
        assert!(lenient.contains("200 OK"), "{head} {lenient}");
    }
    assert!(status(Server::new(), "GET / HTTP/1.0\r\n\r\n").await.contains("200 OK"));
    assert!(
        status(Server::new(), "GET http://a/ HTTP/1.1\r\nhost: a\r\n\r\n").await.contains("200")
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_in_a_coding_that_is_not_only_chunked_is_501_and_its_connection_closes() {
    let post = |codings: &str| {
        format!(
            "POST /echo HTTP/1.1\r\nhost: a\r\n{codings}\r\n\r\n5\r\nhello\r\n0\r\n\r\n{}",
            get("/")
        )
    };
    for codings in [
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked",
    ] {
        let answer = status(Server::new().host_rules(false), &post(codings)).await;
        assert!(answer.starts_with("HTTP/1.1 501 "), "{answer}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{answer}");
    }
    let answer = status(Server::new(), &post("transfer-encoding: Chunked")).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("hello"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.").count(), 2, "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_target_with_half_an_escape_or_a_fragment_is_refused() {
    for target in ["/%zz", "/a?b=%2", "/a#b", "/#"] {
        let head = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        let answer = status(Server::new(), &format!("{head}{}", get("/"))).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_whose_trailers_have_a_loose_line_has_no_end() {
    let head = "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let strict = status(Server::new(), &format!("{head}0\r\na: b\r\n\r\n{}", get("/"))).await;
    assert_eq!(strict.matches("HTTP/1.1 200 ").count(), 2, "{strict}");
    for loose in ["0\r\n\n", "0\r\na: b\n\r\n", "0\r\na: b\n\n"] {
        let answer = status(Server::new(), &format!("{head}{loose}{}", get("/"))).await;
        assert!(answer.matches("HTTP/1.").count() <= 1, "{answer}");
        assert!(!answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_http_2_host_that_contradicts_the_authority_is_refused() {
    let (_server, at) = start_in_memory(Server::new());
    let mut client = http2(dial(&at).await).await;
    let with =
        |host: &str| Request::get("http://here/").header("host", host).body(Empty::new()).unwrap();
    assert_eq!(client.send_request(with("here")).await.unwrap().status(), 200);
    let refused = client.send_request(with("there")).await.unwrap();
    assert_eq!(refused.status(), 400);
    assert!(body(refused).await.contains("\"status\":400"));
}

#[tokio::test(start_paused = true)]
async fn too_many_or_too_long_header_lines_are_431() {
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "a: b\r\n".repeat(100));
    assert!(status(Server::new(), &many).await.starts_with("HTTP/1.1 431 "));
    assert!(status(Server::new().header_count(101), &many).await.starts_with("HTTP/1.1 200 "));

    let long = format!("GET / HTTP/1.1\r\nhost: a\r\na: {}\r\n\r\n", "b".repeat(17 * 1024));
    assert!(status(Server::new(), &long).await.starts_with("HTTP/1.1 431 "));
    let roomy = Server::new().header_size(20 * 1024);
    assert!(status(roomy, &long).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(start_paused = true)]
async fn an_http_2_head_that_is_too_long_is_refused_and_the_connection_lives() {
    let (_server, at) = start_in_memory(Server::new());
    let mut client = http2(dial(&at).await).await;
    let long =
        Request::get("http://here/").header("a", "b".repeat(17 * 1024)).body(Empty::new()).unwrap();
    let refused = client.send_request(long).await;
    assert!(refused.is_err() || refused.unwrap().status() == 431);
    assert_eq!(client.send_request(request("/")).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn no_more_streams_than_the_limit_are_in_progress() {
    let (_server, at) = start_in_memory(Server::new().stream_limit(3));
    let client = http2(dial(&at).await).await;
    let begun = tokio::time::Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..9 {
        let mut client = client.clone();
        calls.spawn(async move {
            client.ready().await.unwrap();
            client.send_request(request("/second")).await.unwrap().status()
        });
    }
    while let Some(status) = calls.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(begun.elapsed().as_secs(), 3);
}
