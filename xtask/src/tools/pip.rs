//! Programs in Python.

use std::path::Path;
use std::process::Command;

use super::launcher;
use crate::process;

/// Installs what the `requirements.txt` of a folder lists, and nothing else, into `venv` there.
/// Where it comes from is said by pip's configuration.
pub(super) fn install(folder: &Path) -> Result<(), String> {
    let python = launcher::needed("python3")?;
    process::output(Command::new(python).current_dir(folder).args(["-m", "venv", "venv"]))?;
    let mut pip = Command::new(folder.join("venv/bin/python"));
    pip.current_dir(folder).args(["-m", "pip", "install", "--quiet", "--no-deps"]);
    pip.args(["--disable-pip-version-check", "--requirement", "requirements.txt"]);
    process::output(&mut pip).map(drop)
}
