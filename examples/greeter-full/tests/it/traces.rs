//! One call is one trace, on both sides, wherever one looks.

use crate::world::{Process, client, field, foreign, free_port, front, greeter, json, until};
use serde_json::Value;

/// The trace id in the line about a call.
fn trace_of(log: &str) -> String {
    let line = log.lines().find(|line| line.contains("msg=call"));
    let line = line.unwrap_or_else(|| panic!("no line about a call: {log:?}"));
    field(line, "trace_id").unwrap_or_else(|| panic!("no trace id: {line}")).to_owned()
}

/// Calls the front over a transport, and returns the trace that the client has logged.
fn call(front: &Process, transport: &str, traces: &str) -> String {
    let address = front.address(if transport == "http" { "HTTP" } else { "gRPC" });
    let (ok, said, log) = client(&[
        "--transport",
        transport,
        "--addr",
        &address,
        "--log-level",
        "info",
        "--traces",
        traces,
        "Ada",
    ]);
    assert!(ok && said == "Hello, Ada!\n", "{said} {log}");
    trace_of(&log)
}

/// The same trace in the lines of the front and of the greeter behind it.
fn is_logged(trace: &str, processes: &[&Process]) {
    for process in processes {
        let line = || {
            let log = process.log();
            let line = log.lines().find(|line| field(line, "trace_id") == Some(trace));
            line.map(ToOwned::to_owned)
        };
        let line = until("the trace is logged", line);
        assert!(line.contains("method=greeter.Greeter/Greeting code=OK"), "{line}");
    }
}

/// The services of all spans: the call and its attempt; the call that came in, and the one to the
/// greeter with its attempt.
fn has_both_sides(spans: &[Value], service: impl Fn(&Value) -> String) {
    let mut services: Vec<_> = spans.iter().map(service).collect();
    services.sort_unstable();
    let (front, client) = ("greeter-full", "greeter-full-client");
    assert_eq!(services, [front, front, front, client, client]);
}

#[test]
fn foreign_jaeger_has_both_sides_of_a_call_over_either_transport() {
    let ports: Vec<_> = (0..11).map(|_| free_port()).collect();
    let flags = [
        "collector.otlp.grpc.host-port",
        "collector.otlp.http.host-port",
        "query.http-server.host-port",
        "query.grpc-server.host-port",
        "collector.grpc-server.host-port",
        "collector.http-server.host-port",
        "admin.http.host-port",
        "processor.jaeger-binary.server-host-port",
        "processor.jaeger-compact.server-host-port",
        "processor.zipkin-compact.server-host-port",
        "http-server.host-port",
    ];
    let flag = |(flag, port): (&&str, &u16)| format!("--{flag}=127.0.0.1:{port}");
    let mut arguments: Vec<_> = flags.iter().zip(&ports).map(flag).collect();
    arguments.extend(["--collector.otlp.enabled=true".to_owned(), "--log-level=warn".to_owned()]);
    let _jaeger = Process::start(&foreign("PURLIN_JAEGER"), 0, arguments);
    until("Jaeger is ready", || json(&format!("http://127.0.0.1:{}/", ports[6])));

    let greeter = greeter();
    // One side sends its spans over gRPC, the other over HTTP.
    let (grpc, http) =
        (format!("otlp://127.0.0.1:{}", ports[0]), format!("otlp+http://127.0.0.1:{}", ports[1]));
    let front = front(&greeter, &["--traces", &http]);
    for transport in ["http", "grpc"] {
        let trace = call(&front, transport, &grpc);
        is_logged(&trace, &[&front, &greeter]);
        let url = format!("http://127.0.0.1:{}/api/traces/{trace}", ports[2]);
        let data = until("both sides are in Jaeger", || {
            let data = json(&url)?["data"][0].clone();
            (data["spans"].as_array()?.len() == 5).then_some(data)
        });
        let spans = data["spans"].as_array().unwrap();
        has_both_sides(spans, |span| {
            let process = span["processID"].as_str().unwrap();
            data["processes"][process]["serviceName"].as_str().unwrap().to_owned()
        });
        let roots = spans.iter().filter(|span| span["references"].as_array().unwrap().is_empty());
        assert_eq!(roots.count(), 1, "all hang together");
    }
}

#[test]
fn foreign_zipkin_has_both_sides_and_prometheus_the_exemplar() {
    let (port, prometheus_port) = (free_port(), free_port());
    let _zipkin = Process::start(
        &foreign("PURLIN_ZIPKIN"),
        0,
        [format!("--server.port={port}"), "--server.address=127.0.0.1".to_owned()],
    );
    let greeter = greeter();
    let traces = format!("zipkin://127.0.0.1:{port}");
    let front = front(&greeter, &["--traces", &traces]);

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("prometheus.yml");
    let targets = front.address("debug");
    let scrape = format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs:\n- job_name: front\n  \
         static_configs: [{{targets: [\"{targets}\"]}}]\n"
    );
    std::fs::write(&config, scrape).unwrap();
    let _prometheus = Process::start(
        &foreign("PURLIN_PROMETHEUS"),
        0,
        [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()),
            format!("--web.listen-address=127.0.0.1:{prometheus_port}"),
            "--enable-feature=exemplar-storage".to_owned(),
        ],
    );
    until("Zipkin is ready", || json(&format!("http://127.0.0.1:{port}/health")));

    let mut called = Vec::new();
    for transport in ["http", "grpc"] {
        let trace = call(&front, transport, &traces);
        is_logged(&trace, &[&front, &greeter]);
        let url = format!("http://127.0.0.1:{port}/api/v2/trace/{trace}");
        let spans = until("both sides are in Zipkin", || {
            let spans = json(&url)?;
            (spans.as_array()?.len() == 5).then_some(spans)
        });
        has_both_sides(spans.as_array().unwrap(), |span| {
            span["localEndpoint"]["serviceName"].as_str().unwrap().to_owned()
        });
        called.push(trace);
    }

    let metric = "rpc_server_call_duration_seconds";
    let api = format!("http://127.0.0.1:{prometheus_port}/api/v1");
    let calls = until("both calls are counted", || {
        let count = json(&format!("{api}/query?query=sum({metric}_count)"))?;
        let count: f64 = count["data"]["result"][0]["value"][1].as_str()?.parse().ok()?;
        (count >= 2.0).then_some(count)
    });
    assert_eq!(calls, 2.0);
    let exemplar = until("the exemplar is there", || {
        let found =
            json(&format!("{api}/query_exemplars?query={metric}_bucket&start=0&end=9999999999"))?;
        let series = found["data"].as_array()?.clone();
        let traces =
            series.iter().flat_map(|series| series["exemplars"].as_array().unwrap().clone());
        let mut traces =
            traces.filter_map(|it| Some(it["labels"]["trace_id"].as_str()?.to_owned()));
        traces.find(|trace| called.contains(trace))
    });
    assert_eq!(exemplar.len(), 32);
}
