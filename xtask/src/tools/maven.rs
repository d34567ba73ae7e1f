//! Programs in Java.

use std::path::Path;
use std::process::Command;

use super::launcher;
use crate::process;

/// Puts an artifact, `group:name:version:type[:classifier]`, into a folder, the version left out
/// of the file's name; a zip is unpacked. Where it comes from is said by Maven's configuration.
pub(super) fn install(artifact: &str, sha256: &str, into: &Path) -> Result<(), String> {
    launcher::needed("java")?;
    let mvn = launcher::needed("mvn")?;
    let maven = |goal: &str| {
        let mut command = Command::new(&mvn);
        // Unpacking leaves marks where it is called from.
        command.current_dir(into).args(["-q", "-B"]);
        command.arg(format!("org.apache.maven.plugins:maven-dependency-plugin:3.6.1:{goal}"));
        command.args(["-Dmdep.stripVersion=true".into(), format!("-Dartifact={artifact}")]);
        process::output(command.arg(format!("-DoutputDirectory={}", into.display())))
    };
    maven("copy")?;
    let file = into.join(file_name(artifact));
    let sum = process::output(Command::new("sha256sum").arg(&file))?;
    if sum.split_whitespace().next() != Some(sha256) {
        return Err(format!("{artifact} is not what it was: {sum}"));
    }
    if file.extension().is_some_and(|extension| extension == "zip") {
        // Maven unpacks what it has itself, of which the checked file is a copy.
        maven("unpack")?;
        std::fs::remove_file(&file).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What the artifact's file is called without its version.
fn file_name(artifact: &str) -> String {
    let parts: Vec<&str> = artifact.split(':').collect();
    match parts[..] {
        [_, name, _, kind, classifier] => format!("{name}-{classifier}.{kind}"),
        [_, name, _, kind] => format!("{name}.{kind}"),
        _ => artifact.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_without_its_version() {
        assert_eq!(file_name("io.zipkin:zipkin-server:3.5.1:jar:slim"), "zipkin-server-slim.jar");
        assert_eq!(file_name("org.keycloak:quarkus-dist:26.0.8:zip"), "quarkus-dist.zip");
    }
}
