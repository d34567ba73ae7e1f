//! The project's own commands: `cargo xtask <command>`.
//!
//! `check` looks without running anything, `test` runs everything, `ci` is both; `tools`
//! installs the foreign programs that tests talk to; `bench` and `soak` are the long ones;
//! `conformance` writes down how the foreign suites end.

mod bench;
mod check;
mod conformance;
mod fuzz;
mod libtest;
mod process;
mod test;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Look for what is wrong without running anything.
    Check(check::Options),
    /// Install what the tests need, run every test, end with `N passed, N failed`.
    Test(test::Options),
    /// Check, then test; a failed check counts as one failure in the last line.
    Ci,
    /// Install the foreign programs and say where they are.
    Tools(tools::Options),
    /// Install the load generators and run the benchmarks in release mode.
    Bench(bench::Options),
    /// Run every foreign suite against both transports and write docs/conformance.md.
    Conformance,
    /// Run the tests at their long sizes (`PURLIN_SOAK=1`), and fuzz the parsers.
    Soak(test::Options),
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    match run(&command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(trouble) => {
            eprintln!("error: {trouble}");
            // Who reads only the last line learns of it too.
            if command.counts() {
                println!("0 passed, 1 failed");
            }
            ExitCode::FAILURE
        }
    }
}

impl Command {
    /// Whether the command ends with the line `N passed, N failed`.
    fn counts(&self) -> bool {
        matches!(self, Self::Test(_) | Self::Soak(_) | Self::Ci)
    }
}

/// Says whether everything passed; an `Err` is a command that could not do its work.
fn run(command: &Command) -> Result<bool, String> {
    let workspace = Workspace::load()?;
    match command {
        Command::Check(options) => {
            let failed = check::run(&workspace, options)?;
            failed.iter().for_each(|check| println!("-- {check}"));
            Ok(failed.is_empty())
        }
        Command::Ci => ci(&workspace),
        Command::Test(options) => Ok(test::run(&workspace, options, test::Size::Short)),
        Command::Soak(options) => Ok(test::run(&workspace, options, test::Size::Long)),
        Command::Tools(options) => tools::table(&workspace, options),
        Command::Bench(options) => bench::run(&workspace, options),
        Command::Conformance => conformance::run(&workspace),
    }
}

/// Everything, with the slow builds of foreign programs going on beside the checks.
fn ci(workspace: &Workspace) -> Result<bool, String> {
    let options = test::Options::default();
    let installation = test::Installation::start(workspace, &options, test::Size::Short);
    let failed = check::run(workspace, &check::Options::default())?;
    let mut tally = test::count(workspace, &options, test::Size::Short, installation);
    failed.into_iter().for_each(|check| tally.fail(check));
    Ok(test::summary(&tally))
}
