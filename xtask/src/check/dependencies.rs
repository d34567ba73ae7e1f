//! Which packages of others may be in the graph: from where, and from which version on.

use super::outcome;
use crate::workspace::{Package, Workspace};

/// The only place that dependencies may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What may not be in the graph at all, and why.
const BANNED: &[(&str, &str)] = &[
    ("aws-lc-rs", "it is built with a C compiler and cmake; TLS is rustls on ring"),
    ("aws-lc-sys", "it is built with a C compiler and cmake; TLS is rustls on ring"),
    ("native-tls", "TLS is rustls on ring on every platform"),
    ("openssl", "TLS is rustls on ring"),
    ("openssl-sys", "TLS is rustls on ring"),
    ("opentelemetry-jaeger", "it is no longer kept; Jaeger takes OTLP"),
    ("rsa", "RUSTSEC-2023-0071: its timing gives private keys away, and there is no fix"),
    ("serde_yaml", "it is no longer kept"),
];

/// The lowest version that may be in the graph, and the advisory that it answers.
const FLOORS: &[(&str, &str, &str)] = &[
    ("async-nats", "0.29.0", "RUSTSEC-2023-0027: the server's TLS name was not validated"),
    ("bytes", "1.11.1", "RUSTSEC-2026-0007: integer overflow in BytesMut::reserve"),
    ("crossbeam-channel", "0.5.15", "RUSTSEC-2025-0024: double free on drop"),
    (
        "h2",
        "0.4.18",
        "RUSTSEC-2024-0003, RUSTSEC-2024-0332, RUSTSEC-2026-0258: floods of resets, CONTINUATION \
         and empty DATA; growth of the HPACK table",
    ),
    ("hickory-proto", "0.26.1", "RUSTSEC-2026-0119: CPU exhaustion in name compression"),
    (
        "hyper",
        "1.11.0",
        "hyper#4124 and #3782: Content-Length beside Transfer-Encoding; resets without a limit",
    ),
    ("idna", "1.0.0", "RUSTSEC-2024-0421: two spellings of one host name"),
    ("jsonwebtoken", "10.3.0", "CVE-2026-25537: a claim of the wrong type counted as absent"),
    ("protobuf", "3.7.2", "RUSTSEC-2024-0437: uncontrolled recursion"),
    ("quick-xml", "0.41.0", "RUSTSEC-2026-0194, -0195: unbounded time and memory"),
    ("ring", "0.17.12", "RUSTSEC-2025-0009: AES may panic under overflow checks"),
    ("rustls", "0.23.18", "RUSTSEC-2024-0399: a panic that a peer can cause in Acceptor"),
    (
        "rustls-webpki",
        "0.103.13",
        "RUSTSEC-2026-0049, -0098, -0099, -0104: name constraints and revocation lists",
    ),
    ("slab", "0.4.11", "RUSTSEC-2025-0047: access out of bounds"),
    ("time", "0.3.47", "RUSTSEC-2026-0009: stack exhaustion"),
    ("tokio", "1.44.2", "RUSTSEC-2025-0023: broadcast clones values that are not Sync"),
    ("tonic", "0.12.3", "RUSTSEC-2024-0376: one bad connection ended the accept loop"),
    ("tracing-subscriber", "0.3.20", "RUSTSEC-2025-0055: escape sequences in the log"),
];

pub(super) fn check(workspace: &Workspace) -> Result<(), String> {
    let findings: Vec<String> = workspace.foreign.iter().filter_map(finding).collect();
    outcome(&findings)
}

/// What speaks against one package, if anything does.
fn finding(package: &Package) -> Option<String> {
    let Package { name, version, source, .. } = package;
    if source.as_deref() != Some(REGISTRY) {
        let source = source.as_deref().unwrap_or("a folder");
        return Some(format!("{name} {version} comes from {source}, not from the crate registry"));
    }
    if let Some((_, why)) = BANNED.iter().find(|(banned, _)| banned == name) {
        return Some(format!("{name} {version} is banned: {why}"));
    }
    // Old versions of one crate may stand beside newer ones; each is looked at.
    let (_, floor, why) = FLOORS.iter().find(|(low, ..)| low == name)?;
    match (Version::parse(version), Version::parse(floor)) {
        (Some(version), Some(floor)) if version >= floor => None,
        _ => Some(format!("{name} {version} is older than {floor}: {why}")),
    }
}

/// A version in order: `1.2.3-rc.1` comes before `1.2.3`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    numbers: [u64; 3],
    /// False sorts first, as a pre-release does. Pre-releases of one version count as equal.
    released: bool,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let (text, _build) = text.split_once('+').unwrap_or((text, ""));
        let (numbers, pre) = text.split_once('-').unwrap_or((text, ""));
        let numbers: Result<Vec<u64>, _> = numbers.split('.').map(str::parse).collect();
        Some(Self { numbers: numbers.ok()?.try_into().ok()?, released: pre.is_empty() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            source: Some(REGISTRY.into()),
            ..Package::default()
        }
    }

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn versions_are_ordered_by_number_and_releases_follow_their_candidates() {
        assert!(version("0.4.18") > version("0.4.9"));
        assert!(version("1.0.0") > version("0.103.13"));
        assert!(version("1.11.0-rc.1") < version("1.11.0"));
        assert!(version("1.11.0-rc.1") > version("1.10.9"));
        assert_eq!(version("0.9.34+deprecated"), version("0.9.34"));
        assert_eq!(Version::parse("1.2"), None);
        assert_eq!(Version::parse("latest"), None);
    }

    #[test]
    fn a_version_below_its_floor_is_refused_with_the_advisory() {
        let old = finding(&package("h2", "0.4.15")).unwrap();
        assert!(old.contains("0.4.18") && old.contains("RUSTSEC-2026-0258"), "{old}");
        assert_eq!(finding(&package("h2", "0.4.18")), None);
        assert_eq!(finding(&package("itoa", "1.0.0")), None);
    }

    #[test]
    fn every_floor_is_a_version() {
        for (name, floor, _) in FLOORS {
            assert!(Version::parse(floor).is_some(), "{name} {floor}");
        }
    }

    #[test]
    fn banned_packages_are_refused_in_any_version() {
        assert!(finding(&package("openssl", "99.0.0")).unwrap().contains("banned"));
    }

    #[test]
    fn packages_from_elsewhere_are_refused() {
        let from = |source: Option<&str>| Package {
            source: source.map(str::to_owned),
            ..package("itoa", "1.0.0")
        };
        let git = finding(&from(Some("git+https://example.com/itoa#1"))).unwrap();
        assert!(git.contains("not from the crate registry"));
        assert!(finding(&from(None)).unwrap().contains("a folder"));
    }
}
