use super::{free_port, process::Process, until};
use purlin_http_client::HttpClient;
use serde_json::Value;
use tempfile::TempDir;

/// OpenTelemetry's collector, which writes what it gets into a file.
pub(super) struct Collector {
    _process: Process,
    folder: TempDir,
    grpc: u16,
    http: u16,
}

impl Collector {
    pub(super) async fn start() -> Self {
        let [grpc, http, health] = [0; 3].map(|_: u16| free_port());
        let folder = tempfile::tempdir().unwrap();
        let written = folder.path().join("traces.jsonl");
        let config = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: \"127.0.0.1:{grpc}\"}}, \
             http: {{endpoint: \"127.0.0.1:{http}\"}}}}}}}}\n\
             exporters: {{file/traces: {{path: {}, flush_interval: 100ms}}}}\n\
             extensions: {{health_check: {{endpoint: \"127.0.0.1:{health}\"}}}}\n\
             service:\n  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}\n  \
             extensions: [health_check]\n  pipelines:\n    \
             traces: {{receivers: [otlp], exporters: [file/traces]}}\n",
            written.display()
        );
        let path = folder.path().join("config.yaml");
        std::fs::write(&path, config).unwrap();
        let arguments = ["--config".to_owned(), path.display().to_string()];
        let process = Process::start("PURLIN_OTELCOL", &arguments);
        let uri: http::Uri = format!("http://127.0.0.1:{health}/").parse().unwrap();
        until("the collector is up", 60, async || {
            let answer = HttpClient::new().get_bytes(uri.clone(), 1 << 16).await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        Self { _process: process, folder, grpc, http }
    }

    pub(super) fn grpc(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    pub(super) fn http(&self) -> String {
        format!("http://127.0.0.1:{}/v1/traces", self.http)
    }

    /// What was written so far: spans grouped by resource and scope.
    pub(super) fn batches(&self) -> Vec<Value> {
        let path = self.folder.path().join("traces.jsonl");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        // The last line may be half written.
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.flat_map(|line| line["resourceSpans"].as_array().cloned().unwrap()).collect()
    }

    pub(super) fn spans(&self) -> Vec<Value> {
        let scopes = self.batches().into_iter();
        let scopes = scopes.flat_map(|batch| batch["scopeSpans"].as_array().cloned().unwrap());
        scopes.flat_map(|scope| scope["spans"].as_array().cloned().unwrap()).collect()
    }
}
