//! Foreign programs that tests and benchmarks talk to: which, how they are had, where they are.
//!
//! They live outside the tree, one folder per name and version, so that a fresh clone finds what
//! another one has built. A test learns a program's path from an environment variable.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process;
use crate::workspace::Workspace;

/// A program that is not ours.
pub(crate) struct Tool {
    /// Its name, and the name of its executable in the cache.
    pub(crate) name: &'static str,
    /// The variable that tests read its path from.
    pub(crate) variable: &'static str,
    how: How,
    /// Arguments with which it says something and ends well: the proof that it runs.
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
    /// The system's own, or the Debian package that holds it.
    Apt { package: &'static str },
}

/// An installed program: the variable and the path that goes into it.
pub(crate) type Installed = Vec<(&'static str, PathBuf)>;

/// What the tests need, slowest build first. Versions are pinned: some newer ones are refused by
/// the module proxy or need a newer Go.
pub(crate) const FOR_TESTS: &[Tool] = &[
    Tool {
        name: "consul",
        variable: "PURLIN_CONSUL",
        how: How::GoPinned { folder: "xtask/go/consul", package: "github.com/hashicorp/consul" },
        probe: &["version"],
    },
    Tool {
        name: "interop-client",
        variable: "PURLIN_INTEROP_CLIENT",
        how: How::Go { package: "google.golang.org/grpc/interop/client", version: "v1.85.0" },
        probe: &["-h"],
    },
    Tool {
        name: "interop-server",
        variable: "PURLIN_INTEROP_SERVER",
        how: How::GoFolder { folder: "xtask/go/interop-server" },
        probe: &["-h"],
    },
    Tool {
        name: "grpcurl",
        variable: "PURLIN_GRPCURL",
        how: How::Go { package: "github.com/fullstorydev/grpcurl/cmd/grpcurl", version: "v1.9.4" },
        probe: &["-version"],
    },
    Tool {
        name: "connectconformance",
        variable: "PURLIN_CONNECTCONFORMANCE",
        how: How::Go {
            package: "connectrpc.com/conformance/cmd/connectconformance",
            version: "v1.0.5",
        },
        probe: &["--version"],
    },
    Tool {
        name: "h2spec",
        variable: "PURLIN_H2SPEC",
        how: How::Go {
            package: "github.com/summerwind/h2spec/cmd/h2spec",
            version: "v2.2.1+incompatible",
        },
        probe: &["--version"],
    },
    Tool {
        name: "curl",
        variable: "PURLIN_CURL",
        how: How::Apt { package: "curl" },
        probe: &["--version"],
    },
    Tool {
        name: "redis-server",
        variable: "PURLIN_REDIS_SERVER",
        how: How::Apt { package: "redis-server" },
        probe: &["--version"],
    },
    Tool {
        name: "etcd",
        variable: "PURLIN_ETCD",
        how: How::Apt { package: "etcd-server" },
        probe: &["--version"],
    },
];

/// What the benchmarks need: load generators.
pub(crate) const FOR_BENCH: &[Tool] = &[
    Tool {
        name: "wrk",
        variable: "PURLIN_WRK",
        how: How::Apt { package: "wrk" },
        // wrk ends with 1 whatever it is asked without an address.
        probe: &[],
    },
    Tool {
        name: "h2load",
        variable: "PURLIN_H2LOAD",
        how: How::Apt { package: "nghttp2-client" },
        probe: &["--version"],
    },
];

/// Installs what is missing. The error names every tool that could not be had, and why.
pub(crate) fn install(root: &Path, tools: &[Tool]) -> Result<Installed, String> {
    let (mut installed, mut troubles) = (Vec::new(), Vec::new());
    for tool in tools {
        match tool.install(root) {
            Ok(path) => installed.push((tool.variable, path)),
            Err(why) => troubles.push(format!("{} cannot be installed: {why}", tool.name)),
        }
    }
    if troubles.is_empty() { Ok(installed) } else { Err(troubles.join("\n")) }
}

/// Installs everything and prints what is where.
pub(crate) fn table(workspace: &Workspace) -> Result<bool, String> {
    let mut installed = install(&workspace.root, FOR_TESTS)?;
    installed.extend(install(&workspace.root, FOR_BENCH)?);
    for (tool, (variable, path)) in FOR_TESTS.iter().chain(FOR_BENCH).zip(&installed) {
        println!("{:<20}{variable:<28}{}", tool.name, path.display());
    }
    Ok(true)
}

impl Tool {
    fn install(&self, root: &Path) -> Result<PathBuf, String> {
        let started = Instant::now();
        if let How::Apt { package } = self.how {
            if let Some(path) = process::find(self.name) {
                return Ok(path);
            }
            apt(package)?;
            let path = process::find(self.name)
                .ok_or_else(|| format!("the package {package} holds no {}", self.name))?;
            return self.proven(path, started);
        }
        let home = cache()?.join(format!("{}-{}", self.name, self.version(root)?));
        let path = home.join(self.name);
        if path.is_file() {
            return Ok(path);
        }
        self.build(root, &home)?;
        self.proven(path, started)
    }

    /// Builds into a folder of our own and renames it, so that what stands in the cache is whole
    /// and two builds at once do not meet.
    fn build(&self, root: &Path, home: &Path) -> Result<(), String> {
        let cache = home.parent().unwrap_or(home);
        let bin = cache.join(format!(".{}-{}", self.name, std::process::id()));
        std::fs::create_dir_all(&bin).map_err(|error| format!("{}: {error}", bin.display()))?;
        let built = self.go(root, &bin).and_then(|()| {
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

    fn go(&self, root: &Path, bin: &Path) -> Result<(), String> {
        if process::find("go").is_none() {
            return Err("there is no Go on the PATH (1.26 or newer is needed)".into());
        }
        let wanted = bin.join(self.name);
        let mut command = Command::new("nice");
        command.args(["-n", "5", "go"]);
        command.env("GOTOOLCHAIN", "local").env("GOBIN", bin).env("CGO_ENABLED", "0");
        command.env("GOFLAGS", "-trimpath -buildvcs=false").env("GOWORK", "off");
        command.env_remove("GOOS").env_remove("GOARCH");
        let named = match self.how {
            How::Go { package, version } => {
                command.arg("install").arg(format!("{package}@{version}"));
                package.rsplit('/').next().unwrap_or(package)
            }
            How::GoFolder { folder } => {
                command.current_dir(root.join(folder)).arg("build").arg("-o").arg(&wanted).arg(".");
                self.name
            }
            How::GoPinned { folder, package } => {
                // Without its symbols a large program is half as large.
                command.current_dir(root.join(folder)).args(["build", "-ldflags", "-s -w"]);
                command.arg("-o").arg(&wanted).arg(package);
                self.name
            }
            How::Apt { .. } => return Err("this is not a Go program".into()),
        };
        // The module proxy fails now and then for a moment; one more try costs little.
        process::output(&mut command).or_else(|_| {
            std::thread::sleep(Duration::from_secs(3));
            process::output(&mut command)
        })?;
        if named != self.name {
            std::fs::rename(bin.join(named), &wanted).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Runs a fresh program once: a broken one is found here and not inside some test.
    fn proven(&self, path: PathBuf, started: Instant) -> Result<PathBuf, String> {
        if !self.probe.is_empty() {
            process::output(Command::new(&path).args(self.probe))?;
        }
        eprintln!("   installed {} in {:.1} s", self.name, started.elapsed().as_secs_f64());
        Ok(path)
    }

    fn version(&self, root: &Path) -> Result<String, String> {
        match self.how {
            How::Go { version, .. } => Ok(version.trim_start_matches('v').to_owned()),
            How::GoFolder { folder } | How::GoPinned { folder, .. } => {
                fingerprint(&root.join(folder))
            }
            How::Apt { .. } => Ok("system".into()),
        }
    }
}

/// A short name for the content of a folder: a program of ours has no version of its own.
fn fingerprint(folder: &Path) -> Result<String, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.file_name().hash(&mut hasher);
        std::fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// Where installed programs live: `$PURLIN_TOOLS`, else a folder of the user's cache.
fn cache() -> Result<PathBuf, String> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("PURLIN_TOOLS")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("purlin/tools")))
        .or_else(|| Some(set("HOME")?.join(".cache/purlin/tools")))
        .ok_or_else(|| "neither PURLIN_TOOLS, XDG_CACHE_HOME nor HOME is set".into())
}

/// Installs a Debian package, as root or by a `sudo` that asks nothing.
fn apt(package: &str) -> Result<(), String> {
    if process::find("apt-get").is_none() {
        return Err(format!("there is no apt-get to install the package {package} with"));
    }
    let root = process::output(Command::new("id").arg("-u"))?.trim() == "0";
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new(if root { "apt-get" } else { "sudo" });
        if !root {
            command.args(["-n", "apt-get"]);
        }
        command.args(["-q", "-y", "--no-install-recommends"]).args(arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        process::output(&mut command)
    };
    apt_get(&["update"])?;
    apt_get(&["install", package]).map(drop)
}
