//! The programs that a measurement runs and cargo does not build.

use std::process::Command;

use crate::Failure;
use crate::servers::{Face, Server, Start};

const WRK: (&str, &str) = ("wrk", "Debian package wrk");
const H2LOAD: (&str, &str) = ("h2load", "Debian package nghttp2-client");
const GO: (&str, &str) = ("go", "Go 1.26 or later from go.dev");
const VALGRIND: (&str, &str) = ("valgrind", "Debian package valgrind");

/// Fails with the name of everything that is missing to load these servers.
pub(crate) fn require_loaders(servers: &[Server]) -> Result<(), Failure> {
    let mut wanted = Vec::new();
    for server in servers {
        wanted.push(match server.face {
            Face::Http => WRK,
            Face::Grpc => H2LOAD,
        });
        if matches!(server.start, Start::GoKit(_)) {
            wanted.push(GO);
        }
    }
    require(wanted)
}

/// Fails with the name of everything that is missing to start these servers.
pub(crate) fn require_go(servers: &[Server]) -> Result<(), Failure> {
    let go = servers.iter().any(|server| matches!(server.start, Start::GoKit(_)));
    require(if go { vec![GO] } else { Vec::new() })
}

/// Fails with the name of everything that is missing to count these servers' instructions.
pub(crate) fn require_counters(servers: &[Server], callgrind: bool) -> Result<(), Failure> {
    let mut wanted = if callgrind { vec![VALGRIND] } else { Vec::new() };
    if servers.iter().any(|server| server.face == Face::Grpc) {
        wanted.push(H2LOAD);
    }
    require(wanted)
}

fn require(mut wanted: Vec<(&str, &str)>) -> Result<(), Failure> {
    wanted.sort_unstable();
    wanted.dedup();
    wanted.retain(|(program, _)| Command::new(program).arg("--version").output().is_err());
    if wanted.is_empty() {
        return Ok(());
    }
    let missing: Vec<_> = wanted.iter().map(|(name, from)| format!("{name} ({from})")).collect();
    Err(format!("missing: {}", missing.join(", ")).into())
}

#[cfg(test)]
mod tests {
    use super::require;

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        let wanted =
            vec![("no-such-b", "package b"), ("no-such-a", "package a"), ("cargo", "rustup")];
        let said = require(wanted).map_err(|error| error.to_string());
        assert_eq!(said, Err("missing: no-such-a (package a), no-such-b (package b)".to_owned()));
    }
}
