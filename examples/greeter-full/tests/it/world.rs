//! Processes of ours and of others.

use serde_json::Value;
use std::{
    env,
    fs::File,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A process that is killed when this is dropped, so that a test that fails leaves none behind.
pub(crate) struct Process {
    child: Child,
    folder: TempDir,
    /// What it said first on its standard output.
    pub(crate) said: Vec<String>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts a program in a folder of its own, and waits until it has said so many lines.
    pub(crate) fn start<I>(program: &Path, lines: usize, arguments: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        Self::start_with(program, lines, arguments, [])
    }

    /// Does so with these variables in its environment.
    pub(crate) fn start_with<I, const N: usize>(
        program: &Path,
        lines: usize,
        arguments: I,
        environment: [(&str, &str); N],
    ) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        for (name, _) in env::vars().filter(|(name, _)| name.starts_with("GREETER_")) {
            command.env_remove(name);
        }
        command.args(arguments.into_iter().map(Into::into)).current_dir(folder.path());
        // Jaeger would trace itself, to nobody.
        command.env("OTEL_TRACES_SAMPLER", "always_off");
        command.envs(environment);
        command.stderr(File::create(folder.path().join("stderr")).unwrap());
        command.stdout(if lines > 0 { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        let mut said = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            let mut stdout = BufReader::new(stdout).lines();
            said.extend(stdout.by_ref().take(lines).map(Result::unwrap));
            // Whoever writes more is not to be stopped by a pipe that nobody reads.
            thread::spawn(move || stdout.for_each(drop));
        }
        let process = Self { child, folder, said };
        assert_eq!(process.said.len(), lines, "{}: {}", program.display(), process.log());
        process
    }

    /// What it has written on its standard error.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// The address in the line that begins so: `127.0.0.1:4711`.
    pub(crate) fn address(&self, line: &str) -> String {
        let line = self.said.iter().find(|said| said.starts_with(line)).unwrap();
        let url = line.split_whitespace().nth(1).unwrap();
        url.rsplit('/').next().unwrap().to_owned()
    }
}

/// Another program of ours. The test command builds all of them.
pub(crate) fn ours(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_greeter-full")).with_file_name(name);
    assert!(path.exists(), "{} is built by `cargo build -p greeter`", path.display());
    path
}

/// A program that is not ours, by the variable that names it.
pub(crate) fn foreign(variable: &str) -> PathBuf {
    let path = env::var(variable);
    path.unwrap_or_else(|_| panic!("`cargo xtask test` sets {variable}")).into()
}

pub(crate) fn greeter() -> Process {
    let any =
        ["--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--debug-addr", "127.0.0.1:0"];
    Process::start(&ours("greeter"), 3, any)
}

/// A front to this greeter, with these arguments besides.
pub(crate) fn front(greeter: &Process, arguments: &[&str]) -> Process {
    let mut all = vec![
        "--http-addr",
        "127.0.0.1:0",
        "--grpc-addr",
        "127.0.0.1:0",
        "--debug-addr",
        "127.0.0.1:0",
    ];
    let grpc = greeter.address("gRPC");
    all.extend(["--greeter", &grpc]);
    all.extend(arguments);
    Process::start(&ours("greeter-full"), 3, all)
}

/// What a client of the front's says: its success, its output and its log.
pub(crate) fn client(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(ours("greeter-full-client")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// What curl gets with these arguments: the status, and the body.
pub(crate) fn curl(arguments: &[&str]) -> (u16, String) {
    let mut command = Command::new(foreign("PURLIN_CURL"));
    command.args(["--silent", "--show-error", "--max-time", "30", "--write-out", "\n%{http_code}"]);
    let output = command.args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = said.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

/// The JSON at this URL, if it is there.
pub(crate) fn json(url: &str) -> Option<Value> {
    let (status, body) = curl(&["--globoff", url]);
    (status == 200).then(|| serde_json::from_str(&body).unwrap())
}

/// A port that was free just now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether tests are to run at their long sizes.
pub(crate) fn soak() -> bool {
    env::var_os("PURLIN_SOAK").is_some()
}

/// Waits until it is there, for a minute at most.
pub(crate) fn until<T>(what: &str, find: impl FnMut() -> Option<T>) -> T {
    until_within(Duration::from_secs(60), what, find)
}

/// Waits until it is there, for so long at most.
pub(crate) fn until_within<T>(
    patience: Duration,
    what: &str,
    mut find: impl FnMut() -> Option<T>,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(begun.elapsed() < patience, "{what}: not within {patience:?}");
        // sleeps: another process is waited for, and says nothing when it is there.
        thread::sleep(Duration::from_millis(50));
    }
}

/// The value of a field in a line of a log.
pub(crate) fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_whitespace().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}
