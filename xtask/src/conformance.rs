//! `cargo xtask conformance`: the table of the foreign suites, written anew.

use crate::workspace::Workspace;
use crate::{process, tools};

/// Runs every suite at its short size; what fails is said, and nothing is written then.
pub(crate) fn run(workspace: &Workspace) -> Result<bool, String> {
    let installed = tools::install(&workspace.root, tools::FOR_TESTS)?;
    let mut command = process::cargo(&workspace.root);
    command.args(["run", "--package", "purlin-conformance"]).args(process::locked());
    command.args(["--", "report"]).envs(installed);
    process::run(&mut command).map(|()| true)
}
