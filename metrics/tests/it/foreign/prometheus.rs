use super::{
    escaped, get,
    process::{Process, port, until},
};
use crate::measured;
use axum::Router;
use purlin_endpoint::{Context, Endpoint as _, SpanId, Trace, TraceId};
use purlin_metrics::{MetricsLayer, Registry, Scrape};
use serde_json::Value;
use std::time::SystemTime;

const NAME: &str = "rpc_server_call_duration_seconds";

fn start(port: u16, target: u16) -> Process {
    Process::start("PURLIN_PROMETHEUS", |folder| {
        let config = format!(
            "global: {{scrape_interval: 200ms}}\nscrape_configs:\n- job_name: greeter\n  \
             static_configs: [{{targets: [\"127.0.0.1:{target}\"]}}]\n"
        );
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--enable-feature=exemplar-storage".to_owned(),
        ]
    })
}

/// The only value of a query, once there is one.
async fn value(port: u16, query: &str) -> Option<f64> {
    let answer = get(port, &format!("/api/v1/query?query={}", escaped(query))).await?;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

async fn shows(port: u16, query: &str, expected: f64) {
    until(&format!("{query} is {expected}"), || async {
        value(port, query).await.filter(|value| *value == expected)
    })
    .await;
}

#[tokio::test]
async fn prometheus_scrapes_the_exact_count_and_sum_and_the_exemplar() {
    let registry = Registry::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().port();
    let app = Router::new().route_service("/metrics", Scrape::new(registry.clone()));
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let port = port();
    let mut prometheus = start(port, target);
    let greet = measured(MetricsLayer::new(registry.clone()));
    let id = TraceId::new(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c).unwrap();
    let trace = Trace::new(id, SpanId::new(1).unwrap()).sampled(true);
    for millis in [2, 2, 2, 30] {
        greet.invoke(Context::new().with_trace(trace.clone()), millis).await.unwrap();
    }
    let sum = crate::counted(&registry, crate::DURATION)[0].2;
    shows(port, &format!("{NAME}_count"), 4.0).await;
    shows(port, &format!("{NAME}_sum"), sum).await;
    shows(
        port,
        &format!("{NAME}_bucket{{le=\"+Inf\",rpc_method=\"greeter.Greeter/Greeting\"}}"),
        4.0,
    )
    .await;
    shows(port, "rpc_server_active_requests", 0.0).await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let exemplars = format!(
        "/api/v1/query_exemplars?query={NAME}_bucket&start={}&end={}",
        now - 600,
        now + 600
    );
    until("the exemplar is there", || async {
        get(port, &exemplars).await.filter(|answer| answer.contains(&id.to_string()))
    })
    .await;
    prometheus.kill();
    greet.invoke(Context::new(), 2).await.unwrap();
    prometheus.again();
    shows(port, &format!("{NAME}_count"), 5.0).await;
    serving.abort();
}
