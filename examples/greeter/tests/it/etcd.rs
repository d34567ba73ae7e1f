//! Greeters in an etcd of the test's own.

use crate::{
    process::{Greeter, Killed},
    registries::{Calling, calls},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use purlin::http_client::HttpClient;
use serde_json::{Value, json};
use std::{
    env,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

struct Etcd {
    address: SocketAddr,
    peers: SocketAddr,
    folder: TempDir,
    /// None while it is killed.
    process: Option<Killed>,
}

impl Etcd {
    async fn start() -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        // Both are held at once, so that they differ.
        let [address, peers] = [free(), free()].map(|port| port.local_addr().unwrap());
        let mut etcd = Self { address, peers, folder: folder(), process: None };
        etcd.restart();
        etcd.lists(&[]).await;
        etcd
    }

    fn flag(&self) -> String {
        format!("etcd://{}", self.address)
    }

    /// As by `kill -9`.
    fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it, knowing nobody.
    fn restart(&mut self) {
        self.folder = folder();
        self.process = Some(spawn(self.address, self.peers, self.folder.path()));
    }

    /// Waits until these are registered, each over both transports, and no others.
    async fn lists(&self, greeters: &[&Greeter]) {
        let of = |greeter: &&Greeter| {
            [("greeter-grpc", greeter.grpc), ("greeter-http", greeter.http)]
                .map(|(service, address)| format!("/services/{service}/{address}"))
        };
        let mut expected: Vec<String> = greeters.iter().flat_map(of).collect();
        expected.sort();
        let asking = async {
            while self.keys().await.as_ref() != Some(&expected) {
                // sleeps: another process is waited for, which tells nobody.
                sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = timeout(Duration::from_secs(30), asking).await;
        assert!(waited.is_ok(), "{:?}, not {expected:?}", self.keys().await);
    }

    /// All that it holds, unless it does not answer. This is what a client without gRPC asks.
    async fn keys(&self) -> Option<Vec<String>> {
        // From the first key on, to the last.
        let all = json!({"key": "AA==", "range_end": "AA==", "keys_only": true});
        let uri = format!("http://{}/v3/kv/range", self.address);
        let request = http::Request::post(uri).body(all.to_string()).ok()?;
        let answer = HttpClient::new().timeout(Duration::from_secs(1)).send(request).await.ok()?;
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.ok()?.to_bytes();
        let body: Value = serde_json::from_slice(&body).ok()?;
        let keys = body["kvs"].as_array().cloned().unwrap_or_default();
        let key = |pair: &Value| {
            String::from_utf8(BASE64_STANDARD.decode(pair["key"].as_str()?).ok()?).ok()
        };
        body["header"].is_object().then(|| keys.iter().filter_map(key).collect())
    }
}

/// In memory where the system has a place for that: etcd writes through before it answers.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn spawn(clients: SocketAddr, peers: SocketAddr, folder: &Path) -> Killed {
    let program = env::var("PURLIN_ETCD").expect("`cargo xtask test` sets PURLIN_ETCD");
    let (clients, peers) = (format!("http://{clients}"), format!("http://{peers}"));
    let mut etcd = Command::new(program);
    etcd.arg("--data-dir")
        .arg(folder.join("0"))
        .args(["--name", "n1", "--initial-cluster", &format!("n1={peers}")])
        .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
        .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    etcd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Killed(etcd.spawn().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_greeters_are_found_in_etcd_and_its_death_and_oblivion_fail_no_call() {
    let mut etcd = Etcd::start().await;
    let [one, two] = [(), ()].map(|()| Greeter::start(&["--registry", &etcd.flag()]));
    etcd.lists(&[&one, &two]).await;
    for transport in ["http", "grpc"] {
        let mut calling = Calling::start(&etcd.flag(), transport, "150");
        calling.answered(50);
        etcd.kill();
        calling.answered(100);
        etcd.restart();
        assert_eq!(calling.end(), (150, String::new()), "{transport}");
        etcd.lists(&[&one, &two]).await;
    }
    let before = calls(&one.stop());
    etcd.lists(&[&two]).await;
    assert_eq!(Calling::start(&etcd.flag(), "http", "10").end(), (10, String::new()));
    let after = calls(&two.stop());
    etcd.lists(&[]).await;
    assert!(before > 0 && after > 10, "both were called: {before}, {after}");
    assert_eq!(before + after, 310, "no call had to be repeated");
}
