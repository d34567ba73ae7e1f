//! Against a Zipkin server, which is started for each test.

mod server;

use crate::call;
use purlin_tracing::{Tracer, Tracing};
use purlin_tracing_zipkin::Zipkin;
use server::Server;
use std::{
    future::pending,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// Looks until it is so; it has so many seconds to become so.
async fn until(what: &str, seconds: u64, mut is_so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < Duration::from_secs(seconds), "{what}: not within {seconds} s");
        // sleeps: another process is waited for, and says nothing when it is there.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn tracing_to(server: &Server) -> (Tracer, JoinHandle<()>) {
    let tracing = Tracing::new("greeter").interval(Duration::from_millis(50));
    let (tracer, spans) = tracing.tracer().unwrap();
    let zipkin = Zipkin::new(server.uri("/api/v2/spans"));
    (tracer, tokio::spawn(spans.export(zipkin, pending())))
}

#[tokio::test]
async fn a_trace_is_found_in_zipkin_with_both_its_sides() {
    let server = Server::start().await;
    let (tracer, exporting) = tracing_to(&server);
    let trace = call(&tracer).await;
    until("the trace is there", 30, async || {
        server.trace(&trace).await.is_some_and(|spans| spans.len() == 2)
    })
    .await;
    let spans = server.trace(&trace).await.unwrap();
    let of_kind = |kind: &str| spans.iter().find(|span| span["kind"] == kind).unwrap();
    let (near, far) = (of_kind("CLIENT"), of_kind("SERVER"));
    assert_eq!(far["parentId"], near["id"]);
    // Zipkin writes names in lower case.
    assert_eq!(far["name"], "greeter.greeter/greeting");
    assert_eq!(far["localEndpoint"]["serviceName"], "greeter");
    assert_eq!(far["remoteEndpoint"]["ipv4"], "10.0.0.7");
    assert_eq!(far["tags"]["rpc.response.status_code"], "INTERNAL");
    assert_eq!(far["tags"]["error"], "internal error");
    assert!(far["annotations"][0]["value"].as_str().unwrap().contains("out of paper"));
    exporting.abort();
}

#[tokio::test]
async fn a_restart_of_zipkin_loses_nothing_that_was_recorded_meanwhile() {
    let mut server = Server::start().await;
    let (tracer, exporting) = tracing_to(&server);
    call(&tracer).await;
    until("the first spans are exported", 30, async || tracer.handle().exported() == 2).await;
    server.kill();
    let mut traces = Vec::new();
    for _ in 0..20 {
        traces.push(call(&tracer).await);
    }
    server.restart().await;
    until("all spans are exported", 60, async || tracer.handle().exported() == 42).await;
    for trace in &traces {
        until("the trace is there", 30, async || {
            server.trace(trace).await.is_some_and(|spans| spans.len() == 2)
        })
        .await;
    }
    assert_eq!((tracer.handle().dropped(), tracer.handle().refused()), (0, 0));
    exporting.abort();
}
