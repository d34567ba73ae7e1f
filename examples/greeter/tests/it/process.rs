//! The greeter as a process, on ports of its own.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
};

/// A process that is killed when this is dropped, so that a test that fails leaves none behind.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A greeter that runs.
pub(crate) struct Greeter {
    child: Killed,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) debug: SocketAddr,
}

impl Greeter {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let any = "127.0.0.1:0";
        let mut child = command()
            .args(["--http-addr", any, "--grpc-addr", any, "--debug-addr", any])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let announced: Vec<String> = out.lines().take(3).map(Result::unwrap).collect();
        let address = |index: usize| {
            let word = announced[index].split_whitespace().nth(1).unwrap();
            word.trim_start_matches("http://").parse().unwrap()
        };
        let (http, grpc, debug) = (address(0), address(1), address(2));
        Self { child: Killed(child), http, grpc, debug }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child.0), signal).unwrap();
    }

    /// Waits for its end, and returns what it has logged.
    pub(crate) fn wait(&mut self) -> (ExitStatus, String) {
        let mut lines = String::new();
        self.child.0.stderr.take().unwrap().read_to_string(&mut lines).unwrap();
        (self.child.0.wait().unwrap(), lines)
    }

    /// Stops it, and returns what it has logged.
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let (status, lines) = self.wait();
        assert!(status.success(), "{status}: {lines}");
        lines
    }
}

/// The server's program, with no settings from the environment.
pub(crate) fn command() -> Command {
    clean(env!("CARGO_BIN_EXE_greeter"))
}

/// The client's program, with no settings from the environment.
pub(crate) fn client() -> Command {
    clean(env!("CARGO_BIN_EXE_greeter-client"))
}

fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GREETER_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a program to its end: whether it succeeded, what it printed, and what it complained of.
pub(crate) fn output(command: &mut Command) -> (bool, String, String) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}
