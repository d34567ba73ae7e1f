//! `cargo xtask check`: everything that can be known without running the code.

mod dependencies;
mod licences;
mod manifests;
mod tidy;
mod tiers;

use clap::Args;

use crate::process;
use crate::test::timed;
use crate::workspace::Workspace;

/// Which checks to run.
#[derive(Args, Clone, Default)]
pub(crate) struct Options {
    /// Only the steps of these names; none means all.
    steps: Vec<String>,
}

type Step = fn(&Workspace) -> Result<(), String>;

/// The steps, cheapest first; those that compile stand last and share what they build.
const STEPS: &[(&str, Step)] = &[
    ("format", format),
    ("tidy", tidy::check),
    ("documents", tidy::documents),
    ("lock", lock),
    ("manifests", manifests::check),
    ("tiers", tiers::check),
    ("licences", licences::check),
    ("dependencies", dependencies::check),
    ("package", package),
    ("clippy", clippy),
    ("docs", docs),
    ("features", features),
];

/// Runs the checks and gives the names of those that failed, each with its reason printed.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<Vec<String>, String> {
    let known = |name: &String| STEPS.iter().any(|(step, _)| step == name);
    if let Some(unknown) = options.steps.iter().find(|name| !known(name)) {
        let names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no check {unknown}; there are {}", names.join(", ")));
    }
    let wanted =
        |name: &str| options.steps.is_empty() || options.steps.iter().any(|step| step == name);
    let mut failed = Vec::new();
    for (name, step) in STEPS.iter().filter(|(name, _)| wanted(name)) {
        println!("== {name}");
        if let Err(trouble) = timed(name, || step(workspace)) {
            println!("error: {name}: {trouble}");
            failed.push(format!("check {name} failed"));
        }
    }
    Ok(failed)
}

/// Gathers findings into one outcome.
fn outcome(findings: &[String]) -> Result<(), String> {
    if findings.is_empty() { Ok(()) } else { Err(format!("\n  {}", findings.join("\n  "))) }
}

fn format(workspace: &Workspace) -> Result<(), String> {
    process::run(process::cargo(&workspace.root).args(["fmt", "--all", "--check"]))
}

/// The lock file is what makes two builds the same, so it is committed and current.
fn lock(workspace: &Workspace) -> Result<(), String> {
    let mut git = process::git(&workspace.root);
    process::output(git.args(["ls-files", "--error-unmatch", "Cargo.lock"]))?;
    let mut cargo = process::cargo(&workspace.root);
    process::output(cargo.args(["metadata", "--format-version=1", "--locked"])).map(drop)
}

/// Every crate that may be published can be put into a package; nothing is compiled for it.
fn package(workspace: &Workspace) -> Result<(), String> {
    let mut command = process::cargo(&workspace.root);
    command.args(["package", "--quiet", "--workspace", "--no-verify", "--allow-dirty"]);
    for private in workspace.members.iter().filter(|package| !package.publish) {
        command.args(["--exclude", &private.name]);
    }
    process::output(&mut command).map(drop)
}

fn clippy(workspace: &Workspace) -> Result<(), String> {
    let mut command = process::cargo(&workspace.root);
    command.args(["clippy", "--workspace", "--all-targets", "--all-features"]);
    command.args(process::locked()).args(["--", "-D", "warnings"]);
    process::run(&mut command)
}

fn docs(workspace: &Workspace) -> Result<(), String> {
    let mut command = process::cargo(&workspace.root);
    command.args(["doc", "--workspace", "--no-deps", "--all-features"]).args(process::locked());
    process::run(command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Builds each crate by itself: in the whole workspace a crate may live on features of its
/// dependencies that only another crate turns on.
fn features(workspace: &Workspace) -> Result<(), String> {
    let mut findings = Vec::new();
    for package in &workspace.members {
        let both = ["--no-default-features", "--all-features"];
        // Without features the two are one.
        let flags = if package.features.is_empty() { &both[..1] } else { &both[..] };
        for flag in flags {
            let mut command = process::cargo(&workspace.root);
            command.args(["check", "--quiet", "--package", &package.name, flag]);
            // Warnings are findings too. Compiler flags would say so as well, but would have every
            // dependency built again.
            match process::chatter(command.args(process::locked())) {
                Ok(warnings) if warnings.is_empty() => {}
                Ok(said) | Err(said) => {
                    findings.push(format!("{} alone with {flag}:\n{said}", package.name));
                }
            }
        }
    }
    outcome(&findings)
}
