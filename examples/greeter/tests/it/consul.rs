//! A Consul agent of a test's own.

use crate::process::{Greeter, Killed};
use purlin::http_client::HttpClient;
use serde_json::Value;
use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// It has all it needs in memory, and a loopback address of its own, where no port is anybody else's.
pub(crate) struct Agent {
    host: Ipv4Addr,
    _process: Killed,
}

impl Agent {
    pub(crate) async fn start() -> Self {
        static STARTED: AtomicU8 = AtomicU8::new(200);
        let [.., second, third] = std::process::id().to_be_bytes();
        let host = Ipv4Addr::new(127, second, third, STARTED.fetch_add(1, Relaxed));
        let agent = Self { host, _process: spawn(host) };
        agent.lists("consul", |all| !all.is_empty()).await;
        agent
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (self.host, 8500).into()
    }

    pub(crate) fn flag(&self) -> String {
        format!("consul://{}", self.address())
    }

    /// Waits until the greeter is registered over both transports.
    pub(crate) async fn knows(&self, greeter: &Greeter) {
        for (service, address) in [("greeter-http", greeter.http), ("greeter-grpc", greeter.grpc)] {
            self.lists(service, |ports| ports.contains(&address.port())).await;
        }
    }

    /// Waits until this holds for the ports of those of a service that are well.
    pub(crate) async fn lists(&self, service: &str, holds: impl Fn(&[u16]) -> bool) {
        let client = HttpClient::new();
        let url = format!("http://{}/v1/health/service/{service}?passing=1", self.address());
        let asking = async {
            loop {
                let answer = client.get_bytes(url.parse().unwrap(), 1 << 20).await;
                let all: Value = answer.map_or(Value::Null, |answer| {
                    serde_json::from_slice(answer.body()).unwrap_or_default()
                });
                let port = |entry: &Value| entry["Service"]["Port"].as_u64()?.try_into().ok();
                let ports: Vec<u16> =
                    all.as_array().into_iter().flatten().filter_map(port).collect();
                if holds(&ports) {
                    return;
                }
                // sleeps: another process is waited for, which tells nobody.
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(30), asking).await.expect("Consul lists it");
    }
}

fn spawn(host: Ipv4Addr) -> Killed {
    let program = env::var("PURLIN_CONSUL").expect("`cargo xtask test` sets PURLIN_CONSUL");
    let mut agent = Command::new(program);
    agent
        .args(["agent", "-dev", "-node=n1", "-disable-host-node-id", "-log-level=err"])
        .args(["-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1", "-serf-wan-port=-1"])
        .args([format!("-bind={host}"), format!("-client={host}")]);
    Killed(agent.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
}
