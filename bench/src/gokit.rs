//! Builds the Go kit greeter once and keeps it outside the tree.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;

const SOURCES: [&str; 5] =
    ["go.mod", "go.sum", "main.go", "pb/greeter.pb.go", "pb/greeter_grpc.pb.go"];

/// The program, built now if these sources have not been built before.
pub(crate) fn binary() -> Result<PathBuf, Failure> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/gokit");
    let folder = tools()?.join(format!("gokit-greeter-{:016x}", fingerprint(&source)?));
    let program = folder.join("gokit-greeter");
    if !program.exists() {
        fs::create_dir_all(&folder)?;
        build(&source, &program)?;
    }
    Ok(program)
}

/// Where built tools are kept: `PURLIN_TOOLS`, or a folder of the user's cache.
fn tools() -> Result<PathBuf, Failure> {
    if let Some(tools) = env::var_os("PURLIN_TOOLS") {
        return Ok(tools.into());
    }
    let cache = match env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => {
            PathBuf::from(env::var_os("HOME").ok_or("set HOME or PURLIN_TOOLS")?).join(".cache")
        }
    };
    Ok(cache.join("purlin/tools"))
}

fn fingerprint(source: &Path) -> Result<u64, Failure> {
    let mut hasher = DefaultHasher::new();
    for file in SOURCES {
        fs::read(source.join(file))?.hash(&mut hasher);
    }
    Ok(hasher.finish())
}

fn build(source: &Path, program: &Path) -> Result<(), Failure> {
    eprintln!("building the Go kit greeter (once)");
    // An interrupted build must not leave a program under the final name.
    let partial = program.with_extension(std::process::id().to_string());
    let status = Command::new("go")
        .args(["build", "-trimpath", "-o"])
        .arg(&partial)
        .arg(".")
        .current_dir(source)
        .env("GOTOOLCHAIN", "local")
        .env("CGO_ENABLED", "0")
        .status()
        .map_err(|error| format!("go, which builds the Go kit greeter: {error}"))?;
    if !status.success() {
        return Err("the Go kit greeter does not build".into());
    }
    Ok(fs::rename(partial, program)?)
}
