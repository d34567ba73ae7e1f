//! `cargo xtask test`: everything that can fail, run and counted.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use crate::libtest::Tally;
use crate::workspace::Workspace;
use crate::{fuzz, process, tools};

/// How long one cargo example may take; what is meant to run for ever is a program of its own.
const EXAMPLE_LIMIT: Duration = Duration::from_secs(60);

/// What to run.
#[derive(Args, Clone, Default)]
pub(crate) struct Options {
    /// Run what Rust alone can: leave out tests whose path contains `foreign`.
    #[arg(long)]
    pub(crate) without_servers: bool,
    /// Only these packages.
    #[arg(short, long = "package", value_name = "CRATE")]
    pub(crate) packages: Vec<String>,
}

/// How long the tests that have two sizes may be.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Size {
    /// What CI has time for.
    Short,
    /// Hours; a test learns of it from `PURLIN_SOAK`.
    Long,
}

/// Foreign programs that are being installed beside something else.
pub(crate) struct Installation(Option<JoinHandle<Result<tools::Installed, String>>>);

impl Installation {
    /// Starts in the background, unless the options say that nothing foreign is wanted.
    pub(crate) fn start(workspace: &Workspace, options: &Options, size: Size) -> Self {
        let root = workspace.root.clone();
        let more = if size == Size::Long { tools::FOR_SOAK } else { &[] };
        let install = move || tools::install(&root, tools::FOR_TESTS.iter().chain(more));
        Self((!options.without_servers).then(|| std::thread::spawn(install)))
    }

    fn wait(self) -> Result<tools::Installed, String> {
        let Some(thread) = self.0 else { return Ok(Vec::new()) };
        let installed =
            thread.join().unwrap_or_else(|_| Err("the installation of the tools panicked".into()));
        installed.map_err(|why| format!("{why}\n   (`--without-servers` runs what Rust alone can)"))
    }
}

/// Runs everything and prints the summary line last; says whether nothing failed.
pub(crate) fn run(workspace: &Workspace, options: &Options, size: Size) -> bool {
    let installation = Installation::start(workspace, options, size);
    let mut tally = count(workspace, options, size, installation);
    if size == Size::Long && options.packages.is_empty() {
        timed("fuzzing", || fuzz::run(&workspace.root, &mut tally));
    }
    summary(&tally)
}

/// Names what failed and ends with the one line that other programs read.
pub(crate) fn summary(tally: &Tally) -> bool {
    for complaint in &tally.complaints {
        println!("-- {complaint}");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    tally.failed == 0
}

/// Runs everything. A step that cannot run is one failure, so that no sum hides it.
pub(crate) fn count(
    workspace: &Workspace,
    options: &Options,
    size: Size,
    installation: Installation,
) -> Tally {
    let mut tally = Tally::default();
    let runner = Runner { root: &workspace.root, options, size };
    let examples = timed("build", || runner.build());
    let installed = timed("tools", || installation.wait());
    let (examples, installed) = match (examples, installed) {
        (Ok(examples), Ok(installed)) => (examples, installed),
        (examples, installed) => {
            for trouble in [examples.err(), installed.err()].into_iter().flatten() {
                tally.fail(trouble);
            }
            return tally;
        }
    };
    let ended = timed("tests", || runner.tests(&installed, &mut tally));
    if let Err(trouble) = ended {
        // When a test has failed, cargo's own failure says nothing more.
        if tally.failed == 0 {
            tally.fail(trouble);
        }
    }
    timed("examples", || {
        for example in &examples {
            match runner.example(example, &installed) {
                Ok(()) => tally.passed += 1,
                Err(trouble) => tally.fail(trouble),
            }
        }
    });
    tally
}

/// Runs one step and prints how long it took.
pub(crate) fn timed<T>(step: &str, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = work();
    println!("-- {step} took {:.1} s", started.elapsed().as_secs_f64());
    done
}

struct Runner<'a> {
    root: &'a Path,
    options: &'a Options,
    size: Size,
}

impl Runner<'_> {
    /// `cargo test` for what the options name; building and running must say the same, or cargo
    /// builds twice.
    fn cargo_test(&self) -> Command {
        let mut command = process::cargo(self.root);
        command.args(["test", "--all-features", "--no-fail-fast"]).args(process::locked());
        if self.options.packages.is_empty() {
            command.arg("--workspace");
        }
        for package in &self.options.packages {
            command.args(["--package", package]);
        }
        command
    }

    /// Builds every test and gives the paths of the cargo examples, which are built with them.
    fn build(&self) -> Result<Vec<PathBuf>, String> {
        let mut command = self.cargo_test();
        command.args(["--no-run", "--message-format=json-render-diagnostics"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cargo: {error}"))?;
        let mut messages = String::new();
        if let Some(mut stdout) = child.stdout.take() {
            stdout.read_to_string(&mut messages).map_err(|error| error.to_string())?;
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        if !status.success() {
            return Err("the tests do not compile".into());
        }
        Ok(messages.lines().filter_map(example).collect())
    }

    /// Runs what was built, showing its output and counting it.
    fn tests(&self, installed: &tools::Installed, tally: &mut Tally) -> Result<(), String> {
        // One pipe for both streams keeps the order of cargo's lines and the tests'.
        let (reader, writer) = std::io::pipe().map_err(|error| error.to_string())?;
        let mut command = self.cargo_test();
        command.envs(self.environment(installed)).stdin(Stdio::null());
        command.stdout(writer.try_clone().map_err(|error| error.to_string())?).stderr(writer);
        if self.options.without_servers {
            command.args(["--", "--skip", "foreign"]);
        }
        let mut child = command.spawn().map_err(|error| format!("cargo: {error}"))?;
        // The command holds our ends of the pipe, which would never close otherwise.
        drop(command);
        for line in BufReader::new(reader).split(b'\n') {
            let line = line.map_err(|error| error.to_string())?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            tally.line(&line);
        }
        tally.close();
        let status = child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("cargo test failed ({status})")) }
    }

    /// Runs one cargo example to its end; its output is shown only when it fails.
    fn example(&self, path: &Path, installed: &tools::Installed) -> Result<(), String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (mut reader, writer) = std::io::pipe().map_err(|error| error.to_string())?;
        let mut command = Command::new(path);
        command.current_dir(self.root).envs(self.environment(installed)).stdin(Stdio::null());
        command.stdout(writer.try_clone().map_err(|error| error.to_string())?).stderr(writer);
        let mut child = command.spawn().map_err(|error| format!("example {name}: {error}"))?;
        drop(command);
        let output = std::thread::spawn(move || {
            let mut output = Vec::new();
            // What was read before an error is still worth showing.
            let _ = reader.read_to_end(&mut output);
            output
        });
        let started = Instant::now();
        let trouble = loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => break None,
                Ok(Some(status)) => break Some(format!("example {name} failed ({status})")),
                Ok(None) if started.elapsed() > EXAMPLE_LIMIT => {
                    let _ = child.kill().and_then(|()| child.wait());
                    break Some(format!("example {name} did not end within {EXAMPLE_LIMIT:?}"));
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Err(error) => break Some(format!("example {name}: {error}")),
            }
        };
        println!("example {name} ... {}", if trouble.is_none() { "ok" } else { "FAILED" });
        let Some(trouble) = trouble else { return Ok(()) };
        println!("{}", String::from_utf8_lossy(&output.join().unwrap_or_default()));
        Err(trouble)
    }

    /// What the tests learn from us: where the programs are, and how long they may take.
    fn environment(&self, installed: &tools::Installed) -> Vec<(&'static str, PathBuf)> {
        let mut environment = installed.clone();
        if self.size == Size::Long {
            environment.push(("PURLIN_SOAK", "1".into()));
        }
        environment
    }
}

/// The executable of a cargo example, if this line of cargo's messages announces one.
fn example(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let kinds = message["target"]["kind"].as_array()?;
    let is_example = kinds.iter().any(|kind| kind == "example");
    // With `test = true` cargo builds a second one, which `cargo test` runs by itself.
    let for_tests = message["profile"]["test"].as_bool().unwrap_or(false);
    if !is_example || for_tests {
        return None;
    }
    message["executable"].as_str().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_example_itself_is_an_example() {
        let message = |kind: &str, test: bool| {
            serde_json::json!({
                "reason": "compiler-artifact",
                "target": { "kind": [kind] },
                "profile": { "test": test },
                "executable": "/t/debug/examples/chain",
            })
            .to_string()
        };
        assert_eq!(example(&message("example", false)), Some("/t/debug/examples/chain".into()));
        assert_eq!(example(&message("example", true)), None);
        assert_eq!(example(&message("bin", false)), None);
        assert_eq!(example("Compiling purlin"), None);
    }
}
