use super::until;
use http::Uri;
use purlin_http_client::HttpClient;
use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A Zipkin server of a test's own. It is gone with this value.
pub(super) struct Server {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Server {
    pub(super) async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let server = Self { child: spawn(port, &folder), port, folder };
        server.ready().await;
        server
    }

    pub(super) fn uri(&self, path: &str) -> Uri {
        format!("http://127.0.0.1:{}{path}", self.port).parse().unwrap()
    }

    async fn ready(&self) {
        until("Zipkin is up", 120, async || match self.get("/health").await {
            Some(health) => health.to_string().contains("UP"),
            None => false,
        })
        .await;
    }

    async fn get(&self, path: &str) -> Option<serde_json::Value> {
        let answer = HttpClient::new().get_bytes(self.uri(path), 1 << 20).await.ok()?;
        answer.status().is_success().then(|| serde_json::from_slice(answer.body()).ok())?
    }

    /// The spans of a trace, if any are there.
    pub(super) async fn trace(&self, id: &str) -> Option<Vec<serde_json::Value>> {
        self.get(&format!("/api/v2/trace/{id}")).await?.as_array().cloned()
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(super) async fn restart(&mut self) {
        self.child = spawn(self.port, &self.folder);
        self.ready().await;
    }
}

fn spawn(port: u16, folder: &TempDir) -> Child {
    let program = std::env::var_os("PURLIN_ZIPKIN")
        .expect("PURLIN_ZIPKIN names no Zipkin server; `cargo xtask test` sets it");
    Command::new(program)
        .arg("--armeria.ports[0].ip=127.0.0.1")
        .arg(format!("--armeria.ports[0].port={port}"))
        .arg("--armeria.ports[0].protocols[0]=http")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("Zipkin starts")
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}
