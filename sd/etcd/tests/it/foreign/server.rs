use super::PATIENCE;
use prost::Message;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::time::sleep;
use tonic::{Request, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Endpoint};
use tonic_prost::ProstCodec;

#[allow(dead_code, unreachable_pub, clippy::all)]
mod wire {
    include!(concat!(env!("OUT_DIR"), "/etcdserverpb.rs"));
}
use wire::{KeyValue, PutRequest, PutResponse, RangeRequest, RangeResponse};

/// What only tests ask of etcd.
#[derive(Message)]
pub(super) struct Compaction {
    #[prost(int64, tag = 1)]
    revision: i64,
}

#[derive(Message)]
struct DeleteRange {
    #[prost(bytes = "vec", tag = 1)]
    key: Vec<u8>,
}

#[derive(Message)]
struct UserAdd {
    #[prost(string, tag = 1)]
    name: String,
    #[prost(string, tag = 2)]
    password: String,
}

#[derive(Message)]
struct UserGrantRole {
    #[prost(string, tag = 1)]
    user: String,
    #[prost(string, tag = 2)]
    role: String,
}

/// An etcd of a test's own, and somebody who does things in it. It is gone with this value.
pub(super) struct Server {
    child: Mutex<Child>,
    address: SocketAddr,
    peers: SocketAddr,
    folder: TempDir,
}

/// In memory where the system has a place for that: an etcd answers when it has written through, and
/// twenty of them beside each other would measure the disk.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

impl Server {
    pub(super) async fn start() -> Self {
        let server = Self::spawn("http", &[]);
        server.ready().await;
        server
    }

    /// One that speaks TLS, with the options for that. It may take a while until it is ready.
    #[cfg(feature = "rustls")]
    pub(super) fn secure(options: &[String]) -> Self {
        Self::spawn("https", options)
    }

    fn spawn(scheme: &str, options: &[String]) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        // Both are held at once, so that they differ.
        let [address, peers] = [free(), free()].map(|port| port.local_addr().unwrap());
        let folder = folder();
        let clients = format!("{scheme}://{address}");
        let child = Mutex::new(spawn(&clients, peers, &folder.path().join("0"), options));
        Self { child, address, peers, folder }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    async fn ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.try_list("ready").await.is_err() {
            assert!(Instant::now() < deadline, "etcd starts");
            // sleeps: a program that starts says nothing when it is ready.
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// `kill -9`.
    pub(super) fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(super) async fn restart(&self) {
        self.spawn_again();
        self.ready().await;
    }

    /// Starts it again, without waiting, as it doesn't let this one in any more.
    pub(super) fn spawn_again(&self) {
        let clients = format!("http://{}", self.address);
        let child = spawn(&clients, self.peers, &self.folder.path().join("0"), &[]);
        *self.child.lock().unwrap() = child;
    }

    /// Kills it, and starts one that knows nothing.
    pub(super) async fn wipe(&self) {
        self.kill();
        std::fs::remove_dir_all(self.folder.path().join("0")).unwrap();
        self.restart().await;
    }

    pub(super) fn pause(&self) {
        kill_process(Pid::from_child(&self.child.lock().unwrap()), Signal::STOP).unwrap();
    }

    pub(super) fn resume(&self) {
        kill_process(Pid::from_child(&self.child.lock().unwrap()), Signal::CONT).unwrap();
    }

    pub(super) async fn put(&self, key: &str, value: &str) -> i64 {
        let put = PutRequest { key: key.into(), value: value.into(), lease: 0 };
        let answer: PutResponse = self.ask("/etcdserverpb.KV/Put", put).await.unwrap();
        answer.header.unwrap().revision
    }

    pub(super) async fn delete(&self, key: &str) {
        let asked = DeleteRange { key: key.into() };
        let _: () = self.ask("/etcdserverpb.KV/DeleteRange", asked).await.unwrap();
    }

    /// Writes so much that what is followed lies far back, and forgets all but the last of it.
    pub(super) async fn compact(&self) {
        let mut revision = 0;
        for value in ["1", "2", "3", "4", "5"] {
            revision = self.put("elsewhere", value).await;
        }
        let _: () = self.ask("/etcdserverpb.KV/Compact", Compaction { revision }).await.unwrap();
    }

    /// The keys below a folder, which ends in a slash.
    pub(super) async fn list(&self, folder: &str) -> Vec<String> {
        let pairs = self.try_list(folder).await.unwrap();
        pairs.into_iter().map(|pair| String::from_utf8(pair.key).unwrap()).collect()
    }

    async fn try_list(&self, folder: &str) -> Result<Vec<KeyValue>, Status> {
        let range_end = format!("{folder}\u{7f}").into();
        let key = folder.into();
        let asked = RangeRequest { key, range_end, serializable: false, count_only: false };
        let answer: RangeResponse = self.ask("/etcdserverpb.KV/Range", asked).await?;
        Ok(answer.kvs)
    }

    /// Lets in nobody but root, with this password.
    pub(super) async fn protect(&self, password: &str) {
        let (name, password) = ("root".to_owned(), password.to_owned());
        let user = UserAdd { name, password };
        let _: () = self.ask("/etcdserverpb.Auth/UserAdd", user).await.unwrap();
        let grant = UserGrantRole { user: "root".into(), role: "root".into() };
        let _: () = self.ask("/etcdserverpb.Auth/UserGrantRole", grant).await.unwrap();
        let _: () = self.ask("/etcdserverpb.Auth/AuthEnable", ()).await.unwrap();
    }

    async fn ask<Req, Res>(&self, path: &'static str, asked: Req) -> Result<Res, Status>
    where
        Req: Message + 'static,
        Res: Message + Default + 'static,
    {
        let member = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        let channel = member.connect().await.map_err(|error| Status::from_error(error.into()))?;
        let mut grpc = Grpc::new(channel);
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let path = PathAndQuery::from_static(path);
        Ok(grpc.unary(Request::new(asked), path, ProstCodec::default()).await?.into_inner())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        // It may have been killed already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn spawn(clients: &str, peers: SocketAddr, folder: &Path, options: &[String]) -> Child {
    let program = std::env::var_os("PURLIN_ETCD")
        .expect("PURLIN_ETCD names no etcd; `cargo xtask test` sets it");
    let peers = format!("http://{peers}");
    Command::new(program)
        .arg("--data-dir")
        .arg(folder)
        .args(["--name", "n1", "--initial-cluster", &format!("n1={peers}")])
        .args(["--listen-client-urls", clients, "--advertise-client-urls", clients])
        .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
