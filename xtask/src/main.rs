//! The project's own commands: `cargo xtask <command>`.
//!
//! `check` looks without running anything, `test` runs everything, `ci` is both; `tools`
//! installs the foreign programs that tests talk to; `bench` and `soak` are the long ones.

mod bench;
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
    /// Install what the tests need, run every test, end with `N passed, N failed`.
    Test(test::Options),
    /// Install every foreign program and say where it is.
    Tools,
    /// Install the load generators and run the benchmarks in release mode.
    Bench(bench::Options),
    /// Run the tests at their long sizes (`PURLIN_SOAK=1`).
    Soak(test::Options),
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(trouble) => {
            eprintln!("error: {trouble}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether everything passed; an `Err` is a command that could not do its work.
fn run(command: &Command) -> Result<bool, String> {
    let workspace = Workspace::load()?;
    match command {
        Command::Test(options) => Ok(test::run(&workspace, options, test::Size::Short)),
        Command::Soak(options) => Ok(test::run(&workspace, options, test::Size::Long)),
        Command::Tools => tools::table(&workspace),
        Command::Bench(options) => bench::run(&workspace, options),
    }
}
