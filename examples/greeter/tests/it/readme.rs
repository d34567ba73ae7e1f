//! What the README shows of the greeter is what happens.

use crate::process::{Killed, client, command};
use std::{
    env,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

const README: &str = include_str!("../../../../README.md");

/// The part of the README about the greeter.
fn section() -> &'static str {
    let (_, rest) = README.split_once("## The greeter\n").unwrap();
    rest.split_once("\n## ").unwrap().0
}

/// The text of the block with this mark.
fn block(mark: &str) -> &'static str {
    let start = format!("```{mark}\n");
    section().split_once(&start).unwrap().1.split_once("```").unwrap().0
}

#[test]
fn foreign_clients_see_what_the_readme_shows() {
    // The README's own ports: no other test uses them.
    let mut greeter =
        Killed(command().stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let out = BufReader::new(greeter.0.stdout.take().unwrap());
    let announced: Vec<String> = out.lines().take(3).map_while(Result::ok).collect();
    let shown: Vec<&str> = block("text").lines().skip(1).collect();
    assert_eq!(announced, shown);

    let mut runs = 0;
    for run in block("console").split("$ ").skip(1) {
        let (line, expected) = run.split_once('\n').unwrap();
        let output = Command::new("sh").args(["-c", &installed(line)]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.trim_end(), expected.trim_end(), "{line}");
        runs += 1;
    }
    assert_eq!(runs, 5, "every line of the README ran");
    a_second_one_takes_other_ports_where_a_registry_says_which(&announced);
}

/// While the usual ports are taken.
fn a_second_one_takes_other_ports_where_a_registry_says_which(usual: &[String]) {
    let alone = command().output().unwrap();
    let said = String::from_utf8(alone.stderr).unwrap();
    assert!(said.starts_with("greeter: --http-addr 127.0.0.1:9110: "), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let registry = format!("file:{}", folder.path().join("greeters.json").display());
    let mut second = command();
    second.args(["--registry", &registry]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut second = Killed(second.spawn().unwrap());
    let out = BufReader::new(second.0.stdout.take().unwrap());
    let announced: Vec<String> = out.lines().take(3).map_while(Result::ok).collect();
    assert_eq!(announced.len(), 3);
    assert!(announced.iter().all(|line| !usual.contains(line)), "{announced:?}");
    let lines = BufReader::new(second.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.filter(|line| line.contains("msg=registered")).take(2).count(), 2);
    let answer = client().args(["--registry", &registry]).output().unwrap();
    assert_eq!(String::from_utf8(answer.stdout).unwrap(), "Hello, Ann!\n");
}

/// The line with the paths of the programs that the test command has installed or built.
fn installed(line: &str) -> String {
    let tool =
        |name: &str| env::var(name).unwrap_or_else(|_| panic!("`cargo xtask test` sets {name}"));
    let ours = client().get_program().to_str().unwrap().to_owned();
    let (program, rest) = match line.strip_prefix("cargo run -p greeter --bin greeter-client -- ") {
        Some(rest) => (ours, rest),
        None => {
            let (program, rest) = line.split_once(' ').unwrap();
            match program {
                "curl" => (format!("{} --silent", tool("PURLIN_CURL")), rest),
                "grpcurl" => (tool("PURLIN_GRPCURL"), rest),
                other => panic!("no such program in the README: {other}"),
            }
        }
    };
    format!("{program} {rest}")
}
