//! Greeters that are found where they have registered, and those that go.

use crate::process::{Greeter, Killed, client, command, output};
use rustix::process::Signal;
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{ChildStdout, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A file that is a registry, in a folder that is gone with it.
struct Registry(tempfile::TempDir);

impl Registry {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn flag(&self) -> String {
        format!("file:{}", self.0.path().join("greeters.json").display())
    }

    /// Starts a greeter, and waits until it is registered.
    fn start(&self, arguments: &[&str]) -> Greeter {
        let greeter = Greeter::start(&[&["--registry", &self.flag()], arguments].concat());
        while !lists(&self.0.path().join("greeters.json"), greeter.http, greeter.grpc) {
            thread::yield_now();
        }
        greeter
    }
}

fn lists(file: &Path, http: SocketAddr, grpc: SocketAddr) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    [http, grpc].iter().all(|address| text.contains(&format!("\"{address}\"")))
}

/// A client that makes so many calls, of which the first ones have been answered.
pub(crate) struct Calling {
    client: Killed,
    answers: BufReader<ChildStdout>,
    answered: usize,
}

impl Calling {
    pub(crate) fn start(registry: &str, transport: &str, count: &str) -> Self {
        let mut client = client();
        client.args(["--registry", registry, "--transport", transport]);
        client.args(["--count", count, "--every", "20ms"]);
        let mut client =
            Killed(client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let answers = BufReader::new(client.0.stdout.take().unwrap());
        Self { client, answers, answered: 0 }
    }

    pub(crate) fn answered(&mut self, count: usize) {
        while self.answered < count {
            let mut line = String::new();
            self.answers.read_line(&mut line).unwrap();
            assert_eq!(line, "Hello, Ann!\n");
            self.answered += 1;
        }
    }

    /// Waits for the rest of the answers, and returns how many there were and what was complained of.
    pub(crate) fn end(mut self) -> (usize, String) {
        let rest = self.answers.by_ref().lines().map(Result::unwrap);
        let answered = self.answered + rest.filter(|line| line == "Hello, Ann!").count();
        let mut said = String::new();
        self.client.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (answered, said)
    }
}

pub(crate) fn calls(lines: &str) -> usize {
    lines.matches("msg=call").count()
}

#[test]
fn a_greeter_that_is_stopped_leaves_the_registry_and_is_called_no_more() {
    for transport in ["http", "grpc"] {
        let registry = Registry::new();
        // A client looks into the file once a second.
        let [stopped, stays] = [(), ()].map(|()| registry.start(&["--drain-delay", "3s"]));
        let (http, grpc) = (stopped.http, stopped.grpc);
        let mut calling = Calling::start(&registry.flag(), transport, "250");
        calling.answered(50);
        let before = calls(&stopped.stop());
        assert!(!lists(&registry.0.path().join("greeters.json"), http, grpc));
        assert_eq!(calling.end(), (250, String::new()), "{transport}");
        let after = calls(&stays.stop());
        assert!(before > 0 && after > 0, "{transport}: both were called: {before}, {after}");
        assert_eq!(before + after, 250, "{transport}: no call had to be repeated");
    }
}

#[test]
fn a_greeter_that_is_killed_fails_no_call_since_another_one_is_asked() {
    for transport in ["http", "grpc"] {
        let registry = Registry::new();
        let [mut killed, stays] = [(), ()].map(|()| registry.start(&["--delay", "10ms"]));
        let mut calling = Calling::start(&registry.flag(), transport, "150");
        calling.answered(50);
        killed.signal(Signal::KILL);
        assert_eq!(calling.end(), (150, String::new()), "{transport}");
        let (before, after) = (calls(&killed.wait().1), calls(&stays.stop()));
        assert!(before > 0 && after >= 100, "{transport}: both were called: {before}, {after}");
    }
}

#[test]
fn two_greeters_are_found_on_the_local_network_with_nothing_installed() {
    let greeters = [(), ()].map(|()| Greeter::start(&["--registry", "mdns"]));
    let ask = || output(client().args(["--registry", "mdns", "--count", "8", "--every", "10ms"]));
    let begun = Instant::now();
    while !ask().0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody is found");
    }
    for _ in 0..5 {
        assert_eq!(ask(), (true, "Hello, Ann!\n".repeat(8), String::new()));
    }
    for greeter in greeters {
        let lines = greeter.stop();
        assert!(calls(&lines) > 0, "each is asked: {lines}");
    }
}

#[test]
fn a_greeter_serves_while_its_registry_is_away_and_registers_when_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not yet").join("greeters.json");
    let greeter = Greeter::start(&["--registry", &format!("file:{}", path.display())]);
    let address = greeter.http.to_string();
    let told = output(client().args(["--http-addr", &address]));
    assert_eq!(told, (true, "Hello, Ann!\n".to_owned(), String::new()));
    fs::create_dir(path.parent().unwrap()).unwrap();
    while !lists(&path, greeter.http, greeter.grpc) {
        thread::yield_now();
    }
    let lines = greeter.stop();
    assert!(lines.matches("not registered").count() <= 2, "once for each service: {lines}");
}

#[test]
fn a_registry_that_is_away_is_said_once_and_holds_up_neither_start_nor_stop() {
    // It accepts and never answers.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = mute.local_addr().unwrap();
    for registry in [
        "consul://127.0.0.1:1".to_owned(),
        "etcd://127.0.0.1:1".to_owned(),
        format!("consul://{mute}"),
        format!("etcd://{mute}"),
    ] {
        let greeter = Greeter::start(&["--registry", &registry]);
        let address = greeter.http.to_string();
        let told = output(client().args(["--http-addr", &address]));
        assert_eq!(told, (true, "Hello, Ann!\n".to_owned(), String::new()));
        let begun = Instant::now();
        let lines = greeter.stop();
        let took = begun.elapsed();
        assert!(took.as_secs_f64() < 4.5, "{registry}: it took {took:?} to stop: {lines}");
        assert!(lines.matches("not registered").count() <= 2, "{registry}: {lines}");
    }
}

#[test]
fn a_registry_that_is_none_is_named_with_what_there_is() {
    let there_is = "must be memory, mdns, file:PATH, consul://HOST:PORT or etcd://HOST:PORT";
    for registry in ["zookeeper://a:1", "nonsense", "consul://", "etcd:", "consul://a", "file:"] {
        for mut program in [command(), client()] {
            let run = program.args(["--registry", registry]).output().unwrap();
            let said = String::from_utf8(run.stderr).unwrap();
            assert_eq!(run.status.code(), Some(2), "{registry}: {said}");
            let expected = format!("'{registry}' for '--registry <REGISTRY>': {there_is}");
            assert!(said.contains(&expected), "{said}");
        }
    }
}
