//! Foreign programs that tests and benchmarks talk to: how they are had, where they are.
//!
//! Whatever a program is made of, it ends as one executable file, and a test learns the path of
//! that file from an environment variable. What is built lives outside the tree, one folder per
//! name and version, so that a fresh clone finds what another one has built.

mod apt;
mod go;
mod launcher;
mod maven;
mod npm;
mod pip;
mod table;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clap::Args;

use crate::process;
use crate::workspace::Workspace;

pub(crate) use self::table::{FOR_BENCH, FOR_SOAK, FOR_TESTS};

/// Which programs to install.
#[derive(Args)]
pub(crate) struct Options {
    /// Only the programs of these names; none means all.
    names: Vec<String>,
}

/// A program that is not ours.
pub(crate) struct Tool {
    /// Its name, and the name of its executable in the cache.
    name: &'static str,
    /// The variable that tests read its path from.
    variable: &'static str,
    how: How,
    /// Arguments with which it says something and ends well, in the folder of its executable: the
    /// proof that it runs.
    probe: &'static [&'static str],
}

enum How {
    /// `go install <package>@<version>`, which names the executable by the package's last part.
    Go { package: &'static str, version: &'static str },
    /// `go build` of a folder of this repository, relative to its root.
    GoFolder { folder: &'static str },
    /// `go build` of a package by the `go.mod` and `go.sum` of such a folder: for what
    /// `go install` refuses, since its own `go.mod` replaces modules.
    GoPinned { folder: &'static str, package: &'static str },
    /// `npm ci` in a copy of such a folder, whose `start.sh` becomes the executable.
    Npm { folder: &'static str },
    /// An artifact that Maven finds, beside the files of such a folder.
    Maven { folder: &'static str, artifact: &'static str, sha256: &'static str },
    /// A virtual environment with what the `requirements.txt` of such a folder lists.
    Pip { folder: &'static str },
    /// The system's own, or the Debian package that holds it.
    Apt { package: &'static str },
}

/// An installed program: the variable and the path that goes into it.
pub(crate) type Installed = Vec<(&'static str, PathBuf)>;

/// Installs what is missing. The error names every tool that could not be had, and why.
pub(crate) fn install<'a>(
    root: &Path,
    tools: impl IntoIterator<Item = &'a Tool>,
) -> Result<Installed, String> {
    let tools: Vec<&Tool> = tools.into_iter().collect();
    let packages: Vec<&str> = tools.iter().filter_map(|tool| tool.missing_package()).collect();
    let (mut installed, mut troubles) = (Vec::new(), Vec::new());
    troubles.extend(apt::install(&packages).err());
    for tool in tools {
        match tool.install(root) {
            Ok(path) => installed.push((tool.variable, path)),
            Err(why) => troubles.push(format!("{} cannot be installed: {why}", tool.name)),
        }
    }
    if troubles.is_empty() { Ok(installed) } else { Err(troubles.join("\n")) }
}

/// Installs what the options name and prints what is where.
pub(crate) fn table(workspace: &Workspace, options: &Options) -> Result<bool, String> {
    let all = || FOR_TESTS.iter().chain(FOR_SOAK).chain(FOR_BENCH);
    if let Some(unknown) = options.names.iter().find(|name| !all().any(|tool| tool.name == **name))
    {
        return Err(format!("there is no tool {unknown}"));
    }
    let wanted =
        |tool: &&Tool| options.names.is_empty() || options.names.iter().any(|n| n == tool.name);
    let installed = install(&workspace.root, all().filter(wanted))?;
    for (tool, (variable, path)) in all().filter(wanted).zip(&installed) {
        println!("{:<20}{variable:<28}{}", tool.name, path.display());
    }
    Ok(true)
}

impl Tool {
    /// The Debian package to install before this program is there.
    fn missing_package(&self) -> Option<&'static str> {
        match self.how {
            How::Apt { package } if process::find(self.name).is_none() => Some(package),
            _ => None,
        }
    }

    fn install(&self, root: &Path) -> Result<PathBuf, String> {
        let started = Instant::now();
        if let How::Apt { package } = self.how {
            let path = process::find(self.name)
                .ok_or_else(|| format!("the package {package} has put no {0} here", self.name))?;
            return self.prove(&path).map(|()| path);
        }
        let home = cache()?.join(format!("{}-{}", self.name, self.version(root)?));
        let path = home.join(self.name);
        if path.is_file() {
            return Ok(path);
        }
        self.build(root, &home)?;
        eprintln!("   installed {} in {:.1} s", self.name, started.elapsed().as_secs_f64());
        Ok(path)
    }

    /// Builds into a folder of our own and renames it when it is proven, so that what stands in the
    /// cache is whole and runs, and two builds at once do not meet.
    fn build(&self, root: &Path, home: &Path) -> Result<(), String> {
        let cache = home.parent().unwrap_or(home);
        let bin = cache.join(format!(".{}-{}", self.name, std::process::id()));
        std::fs::create_dir_all(&bin).map_err(|error| format!("{}: {error}", bin.display()))?;
        let built = self.fill(root, &bin).and_then(|()| {
            self.prove(&bin.join(self.name))?;
            match std::fs::rename(&bin, home) {
                // Somebody else was faster; theirs is as good.
                Err(_) if home.join(self.name).is_file() => Ok(()),
                other => other.map_err(|error| format!("{}: {error}", home.display())),
            }
        });
        // After the rename there is nothing to remove; otherwise it is only a leftover.
        let _ = std::fs::remove_dir_all(&bin);
        built
    }

    /// Puts the executable, and what it needs beside it, into a folder.
    fn fill(&self, root: &Path, bin: &Path) -> Result<(), String> {
        let executable = bin.join(self.name);
        match self.how {
            How::Go { package, version } => go::install(package, version, &executable),
            How::GoFolder { folder } => go::build(&root.join(folder), ".", &executable),
            How::GoPinned { folder, package } => {
                go::build(&root.join(folder), package, &executable)
            }
            How::Npm { folder } => {
                launcher::copy(&root.join(folder), &executable)?;
                npm::install(bin)
            }
            How::Maven { folder, artifact, sha256 } => {
                launcher::copy(&root.join(folder), &executable)?;
                maven::install(artifact, sha256, bin)
            }
            How::Pip { folder } => {
                launcher::copy(&root.join(folder), &executable)?;
                pip::install(bin)
            }
            How::Apt { .. } => Err("the system's own programs are not built".into()),
        }
    }

    /// Runs the program once: a broken one is found here and not inside some test.
    fn prove(&self, path: &Path) -> Result<(), String> {
        if self.probe.is_empty() {
            return Ok(());
        }
        let home = path.parent().unwrap_or(path);
        process::output(Command::new(path).current_dir(home).args(self.probe)).map(drop)
    }

    fn version(&self, root: &Path) -> Result<String, String> {
        match self.how {
            How::Go { version, .. } => Ok(version.trim_start_matches('v').to_owned()),
            How::GoFolder { folder }
            | How::GoPinned { folder, .. }
            | How::Npm { folder }
            | How::Pip { folder } => fingerprint(&root.join(folder)),
            How::Maven { folder, sha256, .. } => {
                Ok(format!("{}-{}", fingerprint(&root.join(folder))?, &sha256[..8]))
            }
            How::Apt { .. } => Ok("system".into()),
        }
    }
}

/// A short name for the content of a folder: a program of ours has no version of its own.
fn fingerprint(folder: &Path) -> Result<String, String> {
    let mut hasher = DefaultHasher::new();
    hash(folder, &mut hasher).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(format!("{:016x}", hasher.finish()))
}

fn hash(folder: &Path, hasher: &mut DefaultHasher) -> std::io::Result<()> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        entry.file_name().hash(hasher);
        if entry.is_dir() {
            hash(&entry, hasher)?;
        } else {
            std::fs::read(&entry)?.hash(hasher);
        }
    }
    Ok(())
}

/// Where installed programs live: `$PURLIN_TOOLS`, else a folder of the user's cache.
fn cache() -> Result<PathBuf, String> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("PURLIN_TOOLS")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("purlin/tools")))
        .or_else(|| Some(set("HOME")?.join(".cache/purlin/tools")))
        .ok_or_else(|| "neither PURLIN_TOOLS, XDG_CACHE_HOME nor HOME is set".into())
}
