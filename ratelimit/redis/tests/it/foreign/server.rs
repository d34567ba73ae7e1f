use super::until;
use purlin_ratelimit_redis::Client;
use redis::{FromRedisValue, RedisResult, aio::MultiplexedConnection};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// A Redis server of a test's own. It is gone with this value.
pub(super) struct Server {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Server {
    pub(super) async fn start() -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("purlin-redis-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { child: spawn(port, &folder), port, folder };
        server.ready().await;
        server
    }

    pub(super) fn client(&self) -> Client {
        Client::open(format!("redis://127.0.0.1:{}/", self.port)).unwrap()
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        self.client().get_multiplexed_async_connection().await
    }

    async fn ready(&self) {
        until("Redis answers", async || match self.connect().await {
            Ok(mut redis) => redis::cmd("PING").query_async::<()>(&mut redis).await.is_ok(),
            Err(_) => false,
        })
        .await;
    }

    /// Sends a command, with its arguments after spaces.
    pub(super) async fn command<T: FromRedisValue>(&self, command: &str) -> T {
        let mut redis = self.connect().await.unwrap();
        let mut words = command.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut redis).await.unwrap()
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(super) async fn restart(&mut self) {
        self.child = spawn(self.port, &self.folder);
        self.ready().await;
    }

    pub(super) fn pause(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    pub(super) fn resume(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }
}

fn spawn(port: u16, folder: &PathBuf) -> Child {
    let program = std::env::var_os("PURLIN_REDIS_SERVER")
        .expect("PURLIN_REDIS_SERVER names no redis-server; `cargo xtask test` sets it");
    Command::new(program)
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .arg("--dir")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server starts")
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
