//! The fuzz targets, as a part of the soak: nightly and cargo-fuzz are not for everybody.

use std::path::Path;
use std::process::Command;

use crate::libtest::Tally;
use crate::process;

/// How long each target runs, in seconds.
const SECONDS: u32 = 300;

/// An input that takes ten seconds, or two gigabytes with what the sanitizer takes, is a finding.
const LIMITS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=2048"];

/// Runs each target of `fuzz/` for a bounded time, and counts it; says so where that can't be done.
pub(crate) fn run(root: &Path, tally: &mut Tally) {
    if let Err(why) = process::output(cargo_fuzz(root).arg("--version")) {
        println!(
            "-- no fuzzing: `rustup toolchain install nightly; cargo install cargo-fuzz`: {why}"
        );
        return;
    }
    let targets = process::output(cargo_fuzz(root).arg("list"));
    let targets = targets.and_then(|list| if list.is_empty() { Err(list) } else { Ok(list) });
    match targets {
        Ok(targets) => targets.lines().for_each(|target| match fuzz(root, target) {
            Ok(()) => tally.passed += 1,
            Err(why) => tally.fail(format!("{why}; its input is in fuzz/artifacts/{target}")),
        }),
        Err(why) => tally.fail(format!("no fuzz targets: {why}")),
    }
}

/// What is found goes into a folder of its own; the committed corpus is only read.
fn fuzz(root: &Path, target: &str) -> Result<(), String> {
    let found = root.join("fuzz/corpus").join(target);
    std::fs::create_dir_all(&found).map_err(|error| error.to_string())?;
    let mut command = cargo_fuzz(root);
    command.args(["run", target]).arg(found).arg(root.join("hostile/corpus").join(target));
    command.args(["--", &format!("-max_total_time={SECONDS}")]).args(LIMITS);
    process::run(&mut command)
}

/// The cargo that runs us is the pinned one, which knows no sanitizer.
fn cargo_fuzz(root: &Path) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "fuzz"]).current_dir(root);
    command
}
