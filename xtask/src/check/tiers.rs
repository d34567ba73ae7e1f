//! Who may know whom: a crate depends on lower tiers only.

use std::path::Path;

use super::outcome;
use crate::workspace::{Package, Workspace};

#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Tier {
    /// The types of a call.
    Base,
    /// What transports and registries stand on.
    Ground,
    /// What does something to a call.
    Middle,
    /// All of them under one name.
    Facade,
    /// The example that another is built around.
    Example,
    /// What is run and never depended on.
    Program,
}

/// Each folder's tier; a name that ends in `/` stands for all folders below it.
const TIERS: &[(&str, Tier)] = &[
    ("endpoint", Tier::Base),
    ("serve", Tier::Ground),
    ("tls", Tier::Middle),
    ("http-client", Tier::Ground),
    ("sd", Tier::Ground),
    ("sd/", Tier::Middle),
    ("transport-http", Tier::Middle),
    ("transport-grpc", Tier::Middle),
    ("balancer", Tier::Middle),
    ("retry", Tier::Middle),
    ("circuitbreaker", Tier::Middle),
    ("ratelimit", Tier::Middle),
    ("ratelimit/", Tier::Middle),
    ("concurrency", Tier::Middle),
    ("timeout", Tier::Middle),
    ("auth", Tier::Middle),
    ("auth/", Tier::Middle),
    ("log", Tier::Middle),
    ("metrics", Tier::Middle),
    ("metrics/", Tier::Middle),
    ("tracing", Tier::Middle),
    ("tracing/", Tier::Middle),
    ("health", Tier::Middle),
    ("run", Tier::Middle),
    ("admin", Tier::Middle),
    ("purlin", Tier::Facade),
    ("examples/greeter", Tier::Example),
    ("examples/", Tier::Program),
    ("bench", Tier::Program),
    ("conformance", Tier::Program),
    ("hostile", Tier::Program),
    ("xtask", Tier::Program),
];

pub(super) fn check(workspace: &Workspace) -> Result<(), String> {
    let findings: Vec<String> = workspace.members.iter().flat_map(findings).collect();
    outcome(&findings)
}

/// What is wrong with one package's dependencies of any kind; a test that needs a sibling
/// belongs a tier higher, where both are known.
fn findings(package: &Package) -> Vec<String> {
    let Some(own) = tier(&package.folder) else {
        return vec![format!(
            "{} has no tier: add its folder to the table in xtask/src/check/tiers.rs",
            package.folder.display()
        )];
    };
    let mut findings = Vec::new();
    for dependency in &package.dependencies {
        let Some(folder) = &dependency.folder else { continue };
        // A crate's tests may use the crate itself with more features.
        if *folder == package.folder && dependency.kind == "dev" {
            continue;
        }
        // What lies in another crate's folder builds upon that one: `ratelimit/redis`.
        if package.folder.parent() == Some(folder) {
            continue;
        }
        // A folder without a tier is reported at its own package.
        let Some(theirs) = tier(folder) else { continue };
        if theirs >= own {
            findings.push(format!(
                "{} ({own:?}) has a {} dependency on {} ({theirs:?}), which is no lower tier",
                package.name, dependency.kind, dependency.name
            ));
        }
    }
    findings
}

fn tier(folder: &Path) -> Option<Tier> {
    let folder = folder.to_str()?;
    let holds = |entry: &str| {
        if entry.ends_with('/') { folder.starts_with(entry) } else { folder == entry }
    };
    TIERS.iter().find(|(entry, _)| holds(entry)).map(|(_, tier)| *tier)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Metadata of a workspace where each folder has dependencies `(kind, folder)`.
    fn workspace(folders: &[(&str, &[(Value, &str)])]) -> Workspace {
        let package = |(folder, dependencies): &(&str, &[(Value, &str)])| {
            let dependencies: Vec<Value> = dependencies
                .iter()
                .map(|(kind, to)| json!({ "name": to, "kind": kind, "path": format!("/w/{to}") }))
                .collect();
            json!({
                "id": folder,
                "name": folder,
                "manifest_path": format!("/w/{folder}/Cargo.toml"),
                "dependencies": dependencies,
            })
        };
        let metadata = json!({
            "workspace_root": "/w",
            "workspace_members": folders.iter().map(|(folder, _)| folder).collect::<Vec<_>>(),
            "packages": folders.iter().map(package).collect::<Vec<_>>(),
        });
        Workspace::from_metadata(&metadata).unwrap()
    }

    #[test]
    fn lower_tiers_may_be_known() {
        let fine = workspace(&[
            ("endpoint", &[(json!("dev"), "endpoint")]),
            ("sd", &[(Value::Null, "endpoint")]),
            ("sd/consul", &[(Value::Null, "sd"), (Value::Null, "http-client")]),
            ("ratelimit/redis", &[(Value::Null, "ratelimit")]),
            ("purlin", &[(Value::Null, "log")]),
            ("examples/greeter", &[(Value::Null, "purlin"), (json!("dev"), "log")]),
        ]);
        assert_eq!(check(&fine), Ok(()));
    }

    #[test]
    fn siblings_and_higher_tiers_may_not_be_known_by_any_kind_of_dependency() {
        for kind in [Value::Null, json!("build"), json!("dev")] {
            for (own, other) in [
                ("log", "timeout"),
                ("serve", "log"),
                ("endpoint", "purlin"),
                ("ratelimit", "ratelimit/redis"),
                ("ratelimit/redis", "retry"),
            ] {
                let wrong = workspace(&[(own, &[(kind.clone(), other)])]);
                let trouble = check(&wrong).unwrap_err();
                assert!(trouble.contains("is no lower tier"), "{own} -> {other}: {trouble}");
            }
        }
    }

    #[test]
    fn a_folder_without_a_tier_is_an_error_that_says_where_the_table_is() {
        let unknown = workspace(&[("cache", &[])]);
        assert!(check(&unknown).unwrap_err().contains("xtask/src/check/tiers.rs"));
    }
}
