//! Child processes: how cargo and other programs are called.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A call of the cargo that runs us, without the variables that it set for us.
///
/// `cargo run` describes the package it runs in `CARGO_PKG_*` and its like. Build scripts that
/// watch those would be run again by a child that inherits them, and again without us.
pub(crate) fn cargo(root: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        if ours.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(&*name);
        }
    }
    command
}

/// A call of git on the tree.
pub(crate) fn git(root: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(root);
    command
}

/// `--locked` in CI, where a lock file that is not current must be an error; a developer's
/// command may bring it up to date.
pub(crate) fn locked() -> Option<&'static str> {
    let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    in_ci.then_some("--locked")
}

/// Runs a command with our own output; anything but success is an error that names it.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("{} cannot be started: {error}", line(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed ({status})", line(command))) }
}

/// Runs a command and gives its standard output; on failure the error holds what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    capture(command).map(|output| output.0)
}

/// Runs a command and gives what it printed beside its standard output, which is nothing when
/// all is well and quiet.
pub(crate) fn chatter(command: &mut Command) -> Result<String, String> {
    capture(command).map(|output| output.1)
}

/// Runs a command and gives both its streams.
fn capture(command: &mut Command) -> Result<(String, String), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{} cannot be started: {error}", line(command)))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    if output.status.success() {
        return Ok((out, err));
    }
    Err(format!("{} failed ({}):\n{out}\n{err}", line(command), output.status))
}

/// The first executable of this name on the `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let executable = |path: &PathBuf| {
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(executable)
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default();
    let mut line = name.to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}
