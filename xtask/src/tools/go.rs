//! Programs in Go.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::process;

/// What makes a build cheaper by a quarter: no inlining, and nothing for a debugger. These programs
/// are talked to and not measured.
const CHEAPLY: &str = "-gcflags=all=-l -dwarf=false";

/// `go install`s a package of a version.
pub(super) fn install(package: &str, version: &str, executable: &Path) -> Result<(), String> {
    let mut command = go()?;
    let bin = executable.parent().unwrap_or(executable);
    command.env("GOBIN", bin).args(["install", CHEAPLY]).arg(format!("{package}@{version}"));
    run(&mut command)?;
    let named = bin.join(package.rsplit('/').next().unwrap_or(package));
    std::fs::rename(named, executable).map_err(|error| error.to_string())
}

/// `go build`s a package as the `go.mod` of a folder says.
pub(super) fn build(folder: &Path, package: &str, executable: &Path) -> Result<(), String> {
    let mut command = go()?;
    // Without its symbols a large program is half as large.
    command.current_dir(folder).args(["build", CHEAPLY, "-ldflags", "-s -w", "-o"]);
    run(command.arg(executable).arg(package))
}

/// A call of Go that steps back behind whoever else is at work.
fn go() -> Result<Command, String> {
    if process::find("go").is_none() {
        return Err("there is no Go on the PATH (1.26 or newer is needed)".into());
    }
    let mut command = Command::new("nice");
    command.args(["-n", "5", "go"]);
    command.env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0");
    command.env("GOFLAGS", "-trimpath -buildvcs=false").env("GOWORK", "off");
    command.env_remove("GOOS").env_remove("GOARCH");
    Ok(command)
}

/// The module proxy fails now and then for a moment; one more try costs little.
fn run(command: &mut Command) -> Result<(), String> {
    let first = process::output(command);
    first
        .or_else(|_| {
            std::thread::sleep(Duration::from_secs(3));
            process::output(command)
        })
        .map(drop)
}
