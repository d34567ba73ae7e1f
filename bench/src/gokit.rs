//! Builds the Go kit programs once and keeps them outside the tree.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::stats::Spread;

const SOURCES: [&str; 6] =
    ["go.mod", "go.sum", "main.go", "micro/main.go", "pb/greeter.pb.go", "pb/greeter_grpc.pb.go"];

/// The greeter.
///
/// # Errors
///
/// That Go is missing, or what else keeps the program from being built.
pub fn greeter() -> Result<PathBuf, Failure> {
    program(".", "gokit-greeter")
}

/// What an operation of Go kit's costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// The name of the row.
    pub name: String,
    /// Allocations per operation.
    pub allocations: f64,
    /// Nanoseconds per operation.
    pub nanos: Spread,
}

/// Measures Go kit's `log` or `metrics`, here and now.
///
/// # Errors
///
/// `go is not installed`, or what else keeps the program from being built and run.
pub fn costs(of: &str) -> Result<Vec<Cost>, Failure> {
    let output = Command::new(program("./micro", "gokit-micro")?).arg(of).output()?;
    let said = String::from_utf8(output.stdout)?;
    let costs: Option<Vec<Cost>> = said.lines().map(cost).collect();
    match costs {
        Some(costs) if output.status.success() && !costs.is_empty() => Ok(costs),
        _ => Err(format!("gokit-micro ended with {}: {said}", output.status).into()),
    }
}

/// Reads a name, allocations and samples.
fn cost(line: &str) -> Option<Cost> {
    let mut cells = line.split('\t');
    let (name, allocations) = (cells.next()?.to_owned(), cells.next()?.parse().ok()?);
    let samples: Result<Vec<f64>, _> = cells.map(str::parse).collect();
    Some(Cost { name, allocations, nanos: Spread::of(&samples.ok()?)? })
}

/// The program of a package, built now if these sources have not been built before.
fn program(package: &str, name: &str) -> Result<PathBuf, Failure> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/gokit");
    let folder = tools()?.join(format!("gokit-{:016x}", fingerprint(&source)?));
    let program = folder.join(name);
    if !program.exists() {
        fs::create_dir_all(&folder)?;
        build(&source, package, &program)?;
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

fn build(source: &Path, package: &str, program: &Path) -> Result<(), Failure> {
    eprintln!("building {} (once)", program.display());
    // An interrupted build must not leave a program under the final name.
    let partial = program.with_extension(std::process::id().to_string());
    let status = Command::new("go")
        .args(["build", "-trimpath", "-o"])
        .arg(&partial)
        .arg(package)
        .current_dir(source)
        .env("GOTOOLCHAIN", "local")
        .env("CGO_ENABLED", "0")
        .status()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => "go is not installed".to_owned(),
            _ => format!("go: {error}"),
        })?;
    if !status.success() {
        return Err(format!("{package} of peers/gokit does not build").into());
    }
    Ok(fs::rename(partial, program)?)
}

#[cfg(test)]
mod tests {
    use super::{Cost, cost};
    use crate::stats::Spread;

    #[test]
    fn a_cost_is_read_from_what_the_program_prints_and_half_a_line_is_refused() {
        let nanos = Spread { median: 20.0, min: 10.5, max: 30.0 };
        let read = Cost { name: "Go kit, logfmt".into(), allocations: 8.0, nanos };
        assert_eq!(cost("Go kit, logfmt\t8\t20.0\t10.5\t30.0"), Some(read));
        assert_eq!(cost("Go kit, logfmt\t8"), None);
        assert_eq!(cost("panic: no such metric"), None);
    }
}
