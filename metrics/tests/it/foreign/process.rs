//! A server of a test's own.

use std::{
    ffi::OsString,
    future::Future,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// A program that is not ours. It is gone with this value, and so is its folder.
pub(crate) struct Process {
    command: Command,
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts the program of this variable with these arguments, which may name its folder.
    pub(crate) fn start<I>(variable: &str, arguments: impl FnOnce(&Path) -> I) -> Self
    where
        I: IntoIterator<Item = String>,
    {
        let program = std::env::var_os(variable)
            .unwrap_or_else(|| panic!("{variable} names no program; `cargo xtask test` sets it"));
        let folder = TempDir::new().expect("a folder");
        let arguments: Vec<OsString> =
            arguments(folder.path()).into_iter().map(OsString::from).collect();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{variable}: {error}"));
        Self { command, child, folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it is gone");
    }

    /// Starts it again, where it was.
    pub(crate) fn again(&mut self) {
        let folder = self.folder().to_owned();
        self.child = self.command.current_dir(folder).spawn().expect("it starts as it did");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// A port that nobody listens on.
pub(crate) fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something is so, for as long as a busy machine may take.
pub(crate) async fn until<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let wait = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            // sleeps: another process is asked again and again.
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// Waits until something listens on a port.
pub(crate) async fn listening(port: u16) {
    until("it listens", || async {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
}
