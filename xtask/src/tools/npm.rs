//! Programs in JavaScript.

use std::path::Path;
use std::process::Command;

use super::launcher;
use crate::process;

/// Installs what the `package-lock.json` of a folder says beside it. The lock names no registry:
/// npm's own configuration does.
pub(super) fn install(folder: &Path) -> Result<(), String> {
    launcher::needed("node")?;
    let mut command = Command::new(launcher::needed("npm")?);
    command.current_dir(folder).args(["ci", "--ignore-scripts", "--omit=dev", "--omit=optional"]);
    process::output(command.args(["--no-audit", "--no-fund"])).map(drop)
}
