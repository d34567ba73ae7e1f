//! Programs that are no single executable: a script starts them.

use std::path::{Path, PathBuf};

use crate::process;

/// The path of a program by which others are installed or started, or what is missing.
pub(super) fn needed(program: &str) -> Result<PathBuf, String> {
    process::find(program).ok_or_else(|| format!("there is no {program} on the PATH"))
}

/// Copies the files of a folder; its `start.sh`, which is executable there, becomes the program's
/// executable. It should `exec`, so that a signal for the script reaches the program.
pub(super) fn copy(folder: &Path, executable: &Path) -> Result<(), String> {
    let bin = executable.parent().unwrap_or(executable);
    let copied = std::fs::read_dir(folder).and_then(|entries| {
        entries.flatten().try_for_each(|entry| {
            let own = bin.join(entry.file_name());
            let to = if entry.file_name() == "start.sh" { executable } else { own.as_path() };
            std::fs::copy(entry.path(), to).map(drop)
        })
    });
    copied.map_err(|error| format!("{}: {error}", folder.display()))
}
