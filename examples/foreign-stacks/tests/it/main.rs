//! One layer, on a route of axum's and around a channel of tonic's.

use axum::routing::get;
use foreign_stacks::{client, router};
use http_body_util::BodyExt as _;
use purlin_log::Logger;
use purlin_timeout::{Timeout, TimeoutLayer};
use std::{
    future::pending,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tonic::transport::{Endpoint, Server};
use tonic_health::{ServingStatus, pb::HealthCheckRequest};
use tower::ServiceExt as _;

/// Keeps what is written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
    }
}

fn timeout() -> TimeoutLayer {
    Timeout::new(Duration::from_secs(1)).layer().unwrap()
}

async fn ask(router: axum::Router) -> (u16, String) {
    let request = http::Request::get("/hello").body(axum::body::Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_route_of_axums_is_logged_and_ends_in_time() {
    let lines = Lines::default();
    let log = Logger::logfmt(lines.clone());

    let told = ask(router(&log, timeout(), get(async || "Hello!"))).await;
    assert_eq!(told, (200, "Hello!".to_owned()));
    assert!(lines.take().contains("method=axum/hello code=OK"));

    let told = ask(router(&log, timeout(), get(async || pending::<&str>().await))).await;
    assert_eq!(told, (504, "no answer within 1s".to_owned()));
    assert!(lines.take().contains("method=axum/hello code=DEADLINE_EXCEEDED took_ms=1000.000"));
}

#[tokio::test]
async fn a_channel_of_tonics_is_logged_and_refuses_with_a_status() {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("greeter", ServingStatus::Serving).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));

    let lines = Lines::default();
    let log = Logger::logfmt(lines.clone());
    let channel =
        Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let check = |service: &str| HealthCheckRequest { service: service.to_owned() };

    let mut generous = client(&log, timeout(), channel.clone());
    let reply = generous.check(check("greeter")).await.unwrap().into_inner();
    assert_eq!(reply.status, 1);
    assert!(lines.take().contains("method=grpc.health.v1.Health/Check code=OK"));

    // A time that is over before any answer can come.
    let hasty = Timeout::new(Duration::from_nanos(1)).layer().unwrap();
    let status = client(&log, hasty, channel).check(check("greeter")).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    assert_eq!(status.message(), "no answer within 1ns");
    assert!(lines.take().contains("code=DEADLINE_EXCEEDED"));
}
