//! The README's program is this one, and does what the README says.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

const README: &str = include_str!("../../../../README.md");

/// The text of the first block with this mark.
fn block(mark: &str) -> &'static str {
    let start = format!("```{mark}\n");
    let (_, rest) = README.split_once(&start).expect("the README has the block");
    rest.split_once("```").expect("the block ends").0
}

#[test]
fn the_readme_shows_this_program() {
    let program = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/main.rs")).unwrap();
    let (_, code) = program.split_once("\n\n").unwrap();
    assert_eq!(block("rust"), code);
    assert!(code.lines().count() <= 25, "the README promises a short program");
}

/// A process that is killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn foreign_curl_gets_what_the_readme_shows() {
    let server = Command::new(env!("CARGO_BIN_EXE_hello")).stderr(Stdio::piped()).spawn().unwrap();
    let mut server = Killed(server);
    while TcpStream::connect("127.0.0.1:9180").is_err() {
        assert!(server.0.try_wait().unwrap().is_none(), "the server has ended: is its port free?");
        std::thread::yield_now();
    }
    let (command, expected) = block("console").split_once('\n').unwrap();
    let curl = env::var("PURLIN_CURL").expect("`cargo xtask test` sets PURLIN_CURL");
    let command = command.strip_prefix("$ curl ").unwrap();
    let output = Command::new("sh").args(["-c", &format!("{curl} -s {command}")]).output().unwrap();
    let line = BufReader::new(server.0.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), expected.trim_end());
    assert!(line.contains("method=hello.Hello/Greet code=OK"), "{line}");
}
