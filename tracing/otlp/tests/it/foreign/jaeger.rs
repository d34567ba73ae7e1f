use super::{free_port, process::Process, until};
use purlin_http_client::HttpClient;
use serde_json::Value;

pub(super) struct Jaeger {
    process: Process,
    arguments: Vec<String>,
    grpc: u16,
    http: u16,
    query: u16,
    admin: u16,
}

/// All that Jaeger would listen on, everywhere, if it weren't told.
const OTHERS: [&str; 8] = [
    "query.grpc-server.host-port",
    "collector.grpc-server.host-port",
    "collector.http-server.host-port",
    "processor.jaeger-binary.server-host-port",
    "processor.jaeger-compact.server-host-port",
    "processor.zipkin-compact.server-host-port",
    "http-server.host-port",
    "collector.zipkin.host-port",
];

impl Jaeger {
    pub(super) async fn start() -> Self {
        let [grpc, http, query, admin] = [0; 4].map(|_: u16| free_port());
        let mut arguments = vec![
            "--collector.otlp.enabled=true".to_owned(),
            format!("--collector.otlp.grpc.host-port=127.0.0.1:{grpc}"),
            format!("--collector.otlp.http.host-port=127.0.0.1:{http}"),
            format!("--query.http-server.host-port=127.0.0.1:{query}"),
            format!("--admin.http.host-port=127.0.0.1:{admin}"),
        ];
        arguments.extend(OTHERS.map(|name| format!("--{name}=127.0.0.1:{}", free_port())));
        let process = Process::start("PURLIN_JAEGER", &arguments);
        let jaeger = Self { process, arguments, grpc, http, query, admin };
        jaeger.ready().await;
        jaeger
    }

    pub(super) fn grpc(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    pub(super) fn http(&self) -> String {
        format!("http://127.0.0.1:{}/v1/traces", self.http)
    }

    async fn ready(&self) {
        until("Jaeger is up", 60, async || get(self.admin, "/").await.is_some()).await;
    }

    /// The spans of a trace, as far as they are there.
    pub(super) async fn spans(&self, trace: &str) -> Vec<Value> {
        let found = get(self.query, &format!("/api/traces/{trace}")).await.unwrap_or_default();
        found["data"][0]["spans"].as_array().cloned().unwrap_or_default()
    }

    pub(super) fn kill(&mut self) {
        self.process.kill();
    }

    pub(super) async fn restart(&mut self) {
        self.process = Process::start("PURLIN_JAEGER", &self.arguments);
        self.ready().await;
    }
}

async fn get(port: u16, path: &str) -> Option<Value> {
    let uri = format!("http://127.0.0.1:{port}{path}").parse().unwrap();
    let answer = HttpClient::new().get_bytes(uri, 1 << 20).await.ok()?;
    answer.status().is_success().then(|| serde_json::from_slice(answer.body()).ok())?
}
