use std::{
    env,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const README: &str = include_str!("../../README.md");

/// A process that is killed when this is dropped, so that a test that fails leaves none behind.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Killed {
    /// Starts a program, and waits until it says where it listens.
    fn start(program: &Path) -> Self {
        let mut command = Command::new(program);
        for (name, _) in env::vars().filter(|(name, _)| name.starts_with("GREETER_")) {
            command.env_remove(name);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = Self(command.spawn().unwrap_or_else(|e| panic!("{program:?}: {e}")));
        let mut said = String::new();
        BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert!(said.starts_with("HTTP "), "{program:?} said {said:?}");
        child
    }
}

/// The greeter's program lies beside ours; the test command builds both.
fn greeter() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_greeter-full")).with_file_name("greeter");
    assert!(path.exists(), "{} is built by `cargo build -p greeter`", path.display());
    path
}

#[test]
fn foreign_clients_see_the_breaker_open_as_the_readme_shows() {
    let curl = env::var("PURLIN_CURL").expect("`cargo xtask test` sets PURLIN_CURL");
    // The README's own ports, which the tests of the greeter use at another time.
    let (mut back, mut front) = (None, None);
    let mut runs = 0;
    for block in README.split("```console\n").skip(1) {
        for run in block.split("```").next().unwrap().split("$ ").skip(1) {
            let (line, expected) = run.split_once('\n').unwrap();
            runs += 1;
            match line {
                "cargo run -p greeter" => back = Some(Killed::start(&greeter())),
                "cargo run -p greeter-full" => {
                    front = Some(Killed::start(Path::new(env!("CARGO_BIN_EXE_greeter-full"))));
                }
                "pkill -x greeter" => drop(back.take().expect("the greeter runs")),
                line => {
                    let line = line.replace("curl ", &format!("{curl} --silent "));
                    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
                    let said = String::from_utf8(output.stdout).unwrap();
                    assert_eq!(said.trim_end(), expected.trim_end(), "{line}");
                }
            }
        }
    }
    assert_eq!(runs, 12, "every line of the README ran");
    drop(front);
}
