use crate::process::{Process, listening, port, until};
use metrics::with_local_recorder;
use purlin_endpoint::{
    Context, Endpoint as _, Error, Layer as _, SpanId, Trace, TraceId, endpoint_fn,
};
use purlin_http_client::HttpClient;
use purlin_metrics::{MetricsLayer, Push, Registry, semconv};
use purlin_metrics_otlp::Otlp;
use serde_json::Value;

fn start(port: u16) -> Process {
    Process::start("PURLIN_OTELCOL", |folder| {
        let at = folder.display();
        let config = format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: \"127.0.0.1:{port}\"}}}}}}}}\n\
             exporters: {{file: {{path: \"{at}/metrics.jsonl\", append: true, flush_interval: 50ms}}}}\n\
             service:\n  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}\n  \
             pipelines: {{metrics: {{receivers: [otlp], exporters: [file]}}}}\n"
        );
        let file = folder.join("config.yaml");
        std::fs::write(&file, config).unwrap();
        ["--config".to_owned(), file.display().to_string()]
    })
}

/// What the collector was sent last.
fn newest(collector: &Process) -> Option<Value> {
    let text = std::fs::read_to_string(collector.folder().join("metrics.jsonl")).ok()?;
    serde_json::from_str(text.lines().last()?).ok()
}

/// The only data point of a metric.
fn point(sent: &Value, name: &str) -> Option<(Value, Value)> {
    let metrics = sent["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array()?;
    let metric = metrics.iter().find(|metric| metric["name"] == name)?;
    let data = ["sum", "gauge", "histogram"].iter().find_map(|kind| metric.get(kind))?;
    Some((metric.clone(), data["dataPoints"][0].clone()))
}

async fn shows(collector: &Process, count: &str, sum: f64) -> (Value, Value, Value) {
    until(&format!("{count} durations are {sum}"), || async {
        let sent = newest(collector)?;
        let (metric, point) = point(&sent, "took")?;
        (point["count"] == count && point["sum"] == sum).then_some((sent, metric, point))
    })
    .await
}

fn work(registry: &Registry) {
    with_local_recorder(registry, || {
        metrics::describe_histogram!("took", metrics::Unit::Seconds, "How long jobs took.");
        for took in [0.125, 0.125, 0.25, 0.5, 20.0] {
            metrics::counter!("jobs").increment(1);
            metrics::histogram!("took", "queue" => "mail").record(took);
        }
        metrics::gauge!("waiting").set(-2.5);
    });
}

#[tokio::test]
async fn the_collector_has_the_exact_count_and_sum() {
    let (registry, port) = (Registry::new(), port());
    let mut collector = start(port);
    listening(port).await;
    let uri = format!("http://127.0.0.1:{port}/v1/metrics").parse().unwrap();
    let otlp = Otlp::new(HttpClient::new(), uri).resource("service.name", "greeter");
    let push = Push::new(&registry, otlp);
    work(&registry);
    push.flush().await.unwrap();
    let (sent, metric, took) = shows(&collector, "5", 21.0).await;
    assert_eq!(
        (&metric["unit"], &metric["description"]),
        (&"s".into(), &"How long jobs took.".into())
    );
    assert_eq!(metric["histogram"]["aggregationTemporality"], 2);
    assert_eq!(took["explicitBounds"].as_array().unwrap().len(), 14);
    assert_eq!(took["bucketCounts"][14], "1");
    assert_eq!(took["attributes"][0]["value"]["stringValue"], "mail");
    let (jobs, point_of_jobs) = point(&sent, "jobs").unwrap();
    assert_eq!((&jobs["sum"]["isMonotonic"], &point_of_jobs["asInt"]), (&true.into(), &"5".into()));
    assert_eq!(point(&sent, "waiting").unwrap().1["asDouble"], -2.5);
    let resource = &sent["resourceMetrics"][0];
    assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "greeter");
    assert_eq!(resource["scopeMetrics"][0]["schemaUrl"], semconv::SCHEMA_URL);
    collector.kill();
    work(&registry);
    push.flush().await.unwrap_err();
    collector.again();
    listening(port).await;
    push.flush().await.unwrap();
    // Nothing is lost, since what is sent is all that ever was.
    shows(&collector, "10", 42.0).await;
}

#[tokio::test]
async fn the_collector_has_the_trace_of_a_call() {
    let (registry, port) = (Registry::new(), port());
    let collector = start(port);
    listening(port).await;
    let layer = MetricsLayer::new(registry.clone());
    let greet = layer.layer(endpoint_fn(|_: Context, ()| async { Ok::<_, Error>(()) }));
    let id = TraceId::new(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c).unwrap();
    let trace = Trace::new(id, SpanId::new(7).unwrap()).sampled(true);
    greet.invoke(Context::new().with_trace(trace), ()).await.unwrap();
    let uri = format!("http://127.0.0.1:{port}/v1/metrics").parse().unwrap();
    Push::new(&registry, Otlp::new(HttpClient::new(), uri)).flush().await.unwrap();
    let (metric, call) = until("the call is there", || async {
        point(&newest(&collector)?, semconv::RPC_SERVER_CALL_DURATION)
    })
    .await;
    assert_eq!(call["exemplars"][0]["traceId"], id.to_string(), "{metric}");
    let (level, active) =
        point(&newest(&collector).unwrap(), semconv::RPC_SERVER_ACTIVE_REQUESTS).unwrap();
    assert_eq!((level["sum"].get("isMonotonic"), &active["asDouble"]), (None, &0.into()));
}
