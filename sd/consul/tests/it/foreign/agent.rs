use purlin_http_client::HttpClient;
use serde_json::Value;
use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

/// A Consul agent with all it needs in memory, on a loopback address of its own, where no port is
/// anybody else's. It is killed when dropped.
pub(crate) struct Agent {
    host: Ipv4Addr,
    child: Child,
    client: HttpClient,
}

impl Agent {
    pub(crate) async fn start() -> Self {
        static STARTED: AtomicU8 = AtomicU8::new(1);
        let [.., second, third] = std::process::id().to_be_bytes();
        let host = Ipv4Addr::new(127, second, third, STARTED.fetch_add(1, Relaxed));
        let agent = Self { host, child: spawn(host), client: HttpClient::new() };
        agent.ready().await;
        agent
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (self.host, 8500).into()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// As by `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it anew, having forgotten everything.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.host);
        self.ready().await;
    }

    /// Waits until it has a leader, which knows its node.
    async fn ready(&self) {
        let started = Instant::now();
        while self.get("catalog/nodes").await.as_array().is_none_or(Vec::is_empty) {
            assert!(started.elapsed() < Duration::from_secs(20), "the agent does not start");
            // sleeps: there is no event to wait for.
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Null if it does not answer.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let uri = format!("{}/v1/{path}", self.url()).parse().unwrap();
        match self.client.get_bytes(uri, 1 << 20).await {
            Ok(answer) => serde_json::from_slice(answer.body()).unwrap_or_default(),
            Err(_) => Value::Null,
        }
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) {
        let uri = format!("{}/v1/{path}", self.url());
        let request = http::Request::put(uri).body(body.to_string()).unwrap();
        assert_eq!(self.client.send(request).await.unwrap().status(), 200, "PUT {path}");
    }

    /// The ids of those that are registered and well, sorted.
    pub(crate) async fn passing(&self, service: &str) -> Vec<String> {
        let entries = self.get(&format!("health/service/{service}?passing=1")).await;
        let entries = entries.as_array().cloned().unwrap_or_default();
        let id = |entry: &Value| entry["Service"]["Meta"]["purlin-id"].as_str().map(str::to_owned);
        let mut ids: Vec<String> = entries.iter().filter_map(id).collect();
        ids.sort();
        ids
    }
}

fn spawn(host: Ipv4Addr) -> Child {
    let program = std::env::var_os("PURLIN_CONSUL")
        .expect("PURLIN_CONSUL is the path of a Consul agent; `cargo xtask test` sets it");
    Command::new(program)
        .args(["agent", "-dev", "-node=n1", "-disable-host-node-id", "-log-level=err"])
        .args(["-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1", "-serf-wan-port=-1"])
        .arg(format!("-bind={host}"))
        .arg(format!("-client={host}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}
