use purlin_http_client::HttpClient;
use serde_json::Value;
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

/// A Consul agent with all it needs in memory, on ports of its own. It is killed when dropped.
pub(crate) struct Agent {
    ports: [u16; 3],
    child: Child,
    client: HttpClient,
}

impl Agent {
    pub(crate) async fn start() -> Self {
        // Ports that were free a moment ago; all are held until the last is known.
        let held = [(); 3].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let ports = held.each_ref().map(|listener| listener.local_addr().unwrap().port());
        drop(held);
        let agent = Self { ports, child: spawn(ports), client: HttpClient::new() };
        agent.ready().await;
        agent
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[0]).into()
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
        self.child = spawn(self.ports);
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

fn spawn([http, server, serf]: [u16; 3]) -> Child {
    let program = std::env::var_os("PURLIN_CONSUL")
        .expect("PURLIN_CONSUL is the path of a Consul agent; `cargo xtask test` sets it");
    Command::new(program)
        .args(["agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", "-node=n1"])
        .args(["-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1", "-serf-wan-port=-1"])
        .args(["-disable-host-node-id", "-log-level=err"])
        .arg(format!("-http-port={http}"))
        .arg(format!("-server-port={server}"))
        .arg(format!("-serf-lan-port={serf}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}
