//! `cargo xtask bench`: the benchmarks, with the load generators they need.

use clap::Args;

use crate::workspace::Workspace;
use crate::{process, tools};

/// What the benchmark program is told.
#[derive(Args)]
pub(crate) struct Options {
    /// Arguments of the benchmark program; `-- --help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the benchmarks in release mode and runs them.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, String> {
    let installed = tools::install(&workspace.root, tools::FOR_BENCH)?;
    let mut command = process::cargo(&workspace.root);
    command.args(["run", "--release", "--package", "purlin-bench"]).args(process::locked());
    command.arg("--").args(&options.arguments).envs(installed);
    process::run(&mut command).map(|()| true)
}
