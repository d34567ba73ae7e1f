//! A signal loses no call, and nothing holds up the end.

use crate::process::Greeter;
use greeter::{endpoints::GreetingRequest, transport};
use purlin::{Context, Endpoint as _, http_client::HttpClient, transport_grpc::Channel};
use rustix::process::Signal;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

/// Waits until so many calls are in flight, as the process itself sees its sockets.
const IN_FLIGHT: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_loses_no_call_and_ends_in_time() {
    const DRAIN: Duration = Duration::from_secs(5);
    let mut greeter = Greeter::start(&["--delay", "2s", "--drain", "5s", "--log-level", "warn"]);

    let mut half = TcpStream::connect(greeter.http).unwrap();
    half.write_all(b"GET /greeting?name=Stuck HTTP/1.1\r\nhost: ").unwrap();
    let mut idle = TcpStream::connect(greeter.http).unwrap();
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    assert_ne!(idle.read(&mut [0; 1024]).unwrap(), 0);
    let mut deaf = TcpStream::connect(greeter.http).unwrap();
    deaf.write_all(&never_reading()).unwrap();

    let mut calls = Vec::new();
    let address = greeter.http;
    let origin = format!("http://{address}");
    let channel = Channel::new(format!("http://{}", greeter.grpc).parse().unwrap());
    for n in 0..IN_FLIGHT {
        let request = GreetingRequest { name: format!("caller {n}") };
        let context = Context::new();
        calls.push(if n % 2 == 0 {
            let endpoint =
                transport::http::greeting(HttpClient::new(), &origin, transport::nothing).unwrap();
            tokio::spawn(async move { endpoint.invoke(context, request).await })
        } else {
            let endpoint = transport::grpc::greeting(channel.clone(), transport::nothing);
            tokio::spawn(async move { endpoint.invoke(context, request).await })
        });
    }
    // sleeps: a call in flight shows no sign of it before it is answered, two seconds later.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let signalled = Instant::now();
    greeter.signal(Signal::TERM);
    let stopped = tokio::task::spawn_blocking(move || (greeter.wait(), signalled.elapsed()));

    for (n, call) in calls.into_iter().enumerate() {
        let reply = call.await.unwrap().unwrap_or_else(|error| panic!("call {n}: {error:#}"));
        assert_eq!(reply.greeting, format!("Hello, caller {n}!"));
    }
    let ((status, lines), took) = stopped.await.unwrap();
    assert!(status.success(), "{status}: {lines}");
    // The stream that nobody reads holds it up to the end, and not for longer.
    assert!(took >= DRAIN, "it took {took:?} to stop");
    assert!(took <= DRAIN + Duration::from_millis(100), "it took {took:?} to stop");
    assert!(TcpStream::connect(address).is_err(), "nothing listens any more");
    drop((half, idle, deaf));
}

/// A call over HTTP/2 by a client that leaves no room for an answer: a preface, SETTINGS with a
/// window of no bytes (RFC 9113, section 6.5.2), and GET http a /greeting?name=Deaf.
fn never_reading() -> Vec<u8> {
    let path = b"/greeting?name=Deaf";
    let length = path.len() as u8;
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0".as_slice(),
        &[0, 0, length + 7, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 4, length],
        path,
        b"\x01\x01a",
    ]
    .concat()
}

#[test]
fn a_second_signal_exits_at_once() {
    let mut greeter = Greeter::start(&["--delay", "60s", "--drain", "60s", "--timeout", "60s"]);
    let mut call = TcpStream::connect(greeter.http).unwrap();
    call.write_all(b"GET /greeting?name=Ann HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let debug = greeter.debug;
    let ready = || {
        let mut stream = TcpStream::connect(debug).ok()?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    };
    assert!(ready().unwrap().starts_with("HTTP/1.1 200"));
    greeter.signal(Signal::INT);
    // The first signal has been seen when the ports are closed.
    while TcpStream::connect(debug).is_ok() {
        std::thread::yield_now();
    }
    let begun = Instant::now();
    greeter.signal(Signal::INT);
    let (status, _) = greeter.wait();
    assert_eq!(status.code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(10), "a second signal waits for nothing");
}

#[test]
fn readiness_ends_before_the_ports_close() {
    let mut greeter = Greeter::start(&["--drain-delay", "2s"]);
    greeter.signal(Signal::TERM);
    let answer = loop {
        let mut stream = TcpStream::connect(greeter.debug).expect("it still accepts");
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        if !answer.starts_with("HTTP/1.1 200") {
            break answer;
        }
    };
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(TcpStream::connect(greeter.http).is_ok(), "it accepts until the delay is over");
    assert!(greeter.wait().0.success());
}
