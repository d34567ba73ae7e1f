//! A real DNS server: that of a Consul agent, whose path is in `PURLIN_CONSUL`.

use purlin_http_client::HttpClient;
use purlin_sd::{Discovery, Instance, Snapshot};
use purlin_sd_dns::Dns;
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

struct Agent {
    http: String,
    dns: SocketAddr,
    client: HttpClient,
    _child: Child,
}

impl Agent {
    async fn start() -> Self {
        // A loopback address of its own, where no port is anybody else's.
        let [.., second, third] = std::process::id().to_be_bytes();
        let host = Ipv4Addr::new(127, second, third, 1);
        let program = std::env::var_os("PURLIN_CONSUL")
            .expect("PURLIN_CONSUL is the path of a Consul agent; `cargo xtask test` sets it");
        let child = Command::new(program)
            .args(["agent", "-dev", "-node=n1", "-disable-host-node-id", "-log-level=err"])
            .args(["-grpc-port=-1", "-grpc-tls-port=-1", "-serf-wan-port=-1"])
            .arg(format!("-bind={host}"))
            .arg(format!("-client={host}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (http, dns) = (format!("http://{host}:8500/v1"), (host, 8600).into());
        let agent = Self { http, dns, client: HttpClient::new(), _child: child };
        let started = Instant::now();
        while !agent.knows_its_node().await {
            assert!(started.elapsed() < Duration::from_secs(20), "the agent does not start");
            // sleeps: there is no event to wait for.
            sleep(Duration::from_millis(20)).await;
        }
        agent
    }

    async fn knows_its_node(&self) -> bool {
        let uri = format!("{}/catalog/nodes", self.http).parse().unwrap();
        match self.client.get_bytes(uri, 1 << 16).await {
            Ok(answer) => {
                let nodes: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
                nodes.as_array().is_some_and(|nodes| !nodes.is_empty())
            }
            Err(_) => false,
        }
    }

    async fn put(&self, path: &str, body: &Value) {
        let uri = format!("{}/{path}", self.http);
        let request = http::Request::put(uri).body(body.to_string()).unwrap();
        assert_eq!(self.client.send(request).await.unwrap().status(), 200, "PUT {path}");
    }
}

#[tokio::test]
async fn what_consul_answers_by_dns_is_found() {
    let agent = Agent::start().await;
    for (port, weight) in [(9110, 3), (9120, 7)] {
        let service = json!({
            "ID": format!("greeter-{port}"), "Name": "greeter", "Tags": ["v2"],
            "Address": "127.0.0.1", "Port": port, "Weights": {"Passing": weight, "Warning": 1},
        });
        agent.put("agent/service/register", &service).await;
    }
    let dns = Dns::srv("greeter.service.consul.").unwrap().nameserver(agent.dns);
    let mut greeters = Discovery::new().start(dns).unwrap();
    let expected = [(9110, 3), (9120, 7)]
        .map(|(port, weight)| Instance { weight, ..Instance::new(format!("127.0.0.1:{port}")) });
    let are = |snapshot: &Snapshot, expected: &[Instance]| {
        snapshot.instances().iter().map(|instance| &**instance).eq(expected)
    };
    let wait = async { while !are(&greeters.changed().await, &expected) {} };
    timeout(Duration::from_secs(10), wait).await.expect("both are found");
    agent.put("agent/service/deregister/greeter-9110", &Value::Null).await;
    let wait = async { while !are(&greeters.changed().await, &expected[1..]) {} };
    timeout(Duration::from_secs(10), wait).await.expect("one is gone");

    let host = Dns::host("greeter.service.consul.", 80).unwrap().nameserver(agent.dns);
    let set = Discovery::new().start(host).unwrap().known().await;
    assert_eq!(set.instances()[0].address, "127.0.0.1:80");
}
