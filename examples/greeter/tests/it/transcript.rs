//! What docs/registry.md shows is what happens.

use crate::process::{Killed, command};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    env,
    fmt::Write as _,
    io::Read as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
};

const DOCUMENT: &str = include_str!("../../../../docs/registry.md");

/// A shell, and all that it has started: a test that fails leaves nothing behind.
struct Shell(Killed);

impl Drop for Shell {
    fn drop(&mut self) {
        // They may have ended already.
        let _ = kill_process_group(Pid::from_child(&self.0.0), Signal::KILL);
    }
}

#[test]
fn foreign_calls_go_on_when_consul_is_killed_as_the_document_shows() {
    let tool =
        |name: &str| env::var(name).unwrap_or_else(|_| panic!("`cargo xtask test` sets {name}"));
    let (consul, curl) = (tool("PURLIN_CONSUL"), tool("PURLIN_CURL"));
    let programs = command().get_program().to_owned();
    let programs = Path::new(&programs).parent().unwrap().display().to_string();
    // Consul's ports are another's on 127.0.0.1, perhaps.
    let [.., second, third] = std::process::id().to_be_bytes();
    let host = format!("127.{second}.{third}.250");
    let runs = |line: &str| match line {
        "cargo build -p greeter" => ":".to_owned(),
        line => line
            .replace("=127.0.0.1 ", &format!("={host} "))
            .replace("127.0.0.1:8500", &format!("{host}:8500"))
            .replace("target/debug/", &format!("{programs}/"))
            .replace("consul agent", &format!("{consul} agent"))
            .replace("curl ", &format!("{curl} ")),
    };

    // One shell runs all of it, and marks where the answer to a line ends.
    let (mut script, mut shown) = (String::new(), Vec::new());
    for block in DOCUMENT.split("```console\n").skip(1) {
        for run in block.split("```").next().unwrap().split("$ ").skip(1) {
            let (line, expected) = run.split_once('\n').unwrap();
            writeln!(script, "{}\necho @@", runs(line)).unwrap();
            shown.push((line, expected.trim_end()));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    for (name, _) in env::vars().filter(|(name, _)| name.starts_with("GREETER_")) {
        shell.env_remove(name);
    }
    shell.args(["-c", &script]).current_dir(folder.path()).process_group(0);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut shell = Shell(Killed(shell.spawn().unwrap()));
    let mut said = String::new();
    shell.0.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    let answers: Vec<&str> = said.split("@@\n").map(str::trim_end).collect();
    for ((line, expected), answer) in shown.iter().zip(&answers) {
        assert_eq!(answer, expected, "{line}");
    }
    assert_eq!((shown.len(), answers.len()), (27, 28), "every line of the document ran");
}
