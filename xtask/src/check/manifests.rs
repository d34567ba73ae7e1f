//! Manifests: complete enough to publish, and of one mind about compiler and lints.

use super::outcome;
use crate::workspace::{Package, Workspace};

/// The licences we give our own code under.
const LICENSE: &str = "MIT OR Apache-2.0";

pub(super) fn check(workspace: &Workspace) -> Result<(), String> {
    let read = |path: &str| {
        let path = workspace.root.join(path);
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let toolchain = channel(&read("rust-toolchain.toml")?)
        .ok_or("rust-toolchain.toml names no channel")?
        .to_owned();
    let mut findings = Vec::new();
    for package in &workspace.members {
        let path = package.folder.join("Cargo.toml");
        let manifest = read(&path.to_string_lossy())?;
        let mut wrong = missing(package);
        if !same_compiler(package, &toolchain) {
            wrong
                .push(format!("a rust-version that the toolchain file ({toolchain}) does not pin"));
        }
        if !inherits_lints(&manifest) {
            wrong.push("no `[lints] workspace = true`".into());
        }
        findings.extend(wrong.iter().map(|what| format!("{} has {what}", path.display())));
    }
    outcome(&findings)
}

/// What a package lacks.
fn missing(package: &Package) -> Vec<String> {
    let has_text = |key: &str| package.manifest[key].as_str().is_some_and(|text| !text.is_empty());
    let count = |key: &str| package.manifest[key].as_array().map_or(0, Vec::len);
    let mut wrong: Vec<String> = ["description", "repository"]
        .iter()
        .filter(|key| !has_text(key))
        .map(|key| format!("no {key}"))
        .collect();
    if package.license.as_deref() != Some(LICENSE) {
        wrong.push(format!("another licence than {LICENSE}"));
    }
    if package.manifest["edition"] != "2024" {
        wrong.push("another edition than 2024".into());
    }
    if package.publish {
        // The registry takes five of each at most.
        for key in ["keywords", "categories"] {
            if !(1..=5).contains(&count(key)) {
                wrong.push(format!("{} {key} where one to five belong", count(key)));
            }
        }
    }
    wrong
}

/// The toolchain that builds everything is the oldest that we promise to build with.
fn same_compiler(package: &Package, toolchain: &str) -> bool {
    let promised = package.manifest["rust_version"].as_str().unwrap_or_default();
    promised == toolchain || format!("{promised}.0") == toolchain
}

/// The `channel` of a toolchain file.
fn channel(toolchain: &str) -> Option<&str> {
    toolchain
        .lines()
        .filter_map(|line| line.split_once('='))
        .find(|(key, _)| key.trim() == "channel")
        .map(|(_, value)| value.trim().trim_matches('"'))
}

/// Whether the section `[lints]` says that the workspace's lints hold.
fn inherits_lints(manifest: &str) -> bool {
    let lines = manifest.lines().map(str::trim);
    let mut section = lines.skip_while(|line| *line != "[lints]").skip(1);
    section
        .by_ref()
        .take_while(|line| !line.starts_with('['))
        .any(|line| line.split_whitespace().collect::<String>() == "workspace=true")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn package(manifest: Value, publish: bool) -> Package {
        let license = manifest["license"].as_str().map(str::to_owned);
        Package { publish, license, manifest, ..Package::default() }
    }

    fn complete() -> Value {
        json!({
            "description": "Time limits for calls",
            "repository": "https://example.com/purlin",
            "license": "MIT OR Apache-2.0",
            "edition": "2024",
            "rust_version": "1.95",
            "keywords": ["rpc"],
            "categories": ["asynchronous"],
        })
    }

    #[test]
    fn a_complete_manifest_lacks_nothing() {
        assert!(missing(&package(complete(), true)).is_empty());
    }

    #[test]
    fn each_line_that_publishing_needs_is_asked_for() {
        for key in complete().as_object().unwrap().keys().filter(|key| *key != "rust_version") {
            let mut manifest = complete();
            manifest[key] = Value::Null;
            assert_eq!(missing(&package(manifest, true)).len(), 1, "without {key}");
        }
    }

    #[test]
    fn a_private_package_needs_no_keywords() {
        let mut manifest = complete();
        manifest["keywords"] = Value::Null;
        assert!(missing(&package(manifest, false)).is_empty());
    }

    #[test]
    fn the_promised_compiler_is_the_pinned_one() {
        let package = package(complete(), true);
        assert!(same_compiler(&package, "1.95.0"));
        assert!(!same_compiler(&package, "1.96.0"));
        assert_eq!(channel("[toolchain]\nchannel = \"1.95.0\"\n"), Some("1.95.0"));
        assert_eq!(channel("[toolchain]\n"), None);
    }

    #[test]
    fn lints_are_inherited_in_their_own_section_only() {
        assert!(inherits_lints("[package]\n\n[lints]\nworkspace = true\n\n[dependencies]\n"));
        assert!(!inherits_lints("[lints]\n\n[dependencies]\nworkspace = true\n"));
        assert!(!inherits_lints("[package]\nedition.workspace = true\n"));
    }
}
