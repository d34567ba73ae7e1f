//! connectconformance, for gRPC without TLS, with it, and with certificates on both sides: no case is
//! known to fail, so none is named as such.

use super::{Outcome, output, tool};
use crate::table::Row;
use std::{path::Path, time::Duration};
use tokio::process::Command;

const SUITE: &str = "connectconformance 1.0.5";

/// Which cases there are.
const FEATURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/grpc.yaml");

/// The suite's client and grpc-go's, against our server.
///
/// # Errors
///
/// What does not pass.
pub async fn connect_server(program: &Path) -> Outcome {
    run(program, "server", "connect-server", 566).await
}

/// Our client, against the suite's server and grpc-go's.
///
/// # Errors
///
/// What does not pass.
pub async fn connect_client(program: &Path) -> Outcome {
    run(program, "client", "connect-client", 634).await
}

async fn run(program: &Path, mode: &'static str, own: &str, cases: usize) -> Outcome {
    let mut command = Command::new(tool("PURLIN_CONNECTCONFORMANCE")?);
    command.args(["--mode", mode, "--conf", FEATURES, "--max-servers", "2"]);
    command.arg("--").arg(program).arg(own);
    let ended = output(&mut command, Duration::from_secs(240)).await?;
    let said = String::from_utf8_lossy(&ended.stdout).into_owned()
        + &String::from_utf8_lossy(&ended.stderr);
    let passed = passed(&said).ok_or_else(|| format!("it does not count its cases:\n{said}"))?;
    if passed != cases || !ended.status.success() {
        return Err(format!("{passed} of {cases} pass:\n{said}"));
    }
    Ok(Row { suite: SUITE.into(), side: mode.into(), cases, passed, listed: 0 })
}

/// How many cases passed, if these were all.
fn passed(said: &str) -> Option<usize> {
    let total: usize = number(said, "Total cases: ", "\n")?;
    let passed = said.lines().find_map(|line| line.strip_suffix(" passed, 0 failed"))?;
    passed.parse().ok().filter(|passed| *passed == total)
}

fn number(text: &str, before: &str, behind: &str) -> Option<usize> {
    text.split_once(before)?.1.split(behind).next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_in_which_all_cases_pass_counts() {
        assert_eq!(passed("\nTotal cases: 3\n3 passed, 0 failed\n"), Some(3));
        assert_eq!(passed("Total cases: 3\n2 passed, 0 failed\n"), None);
        assert_eq!(passed("Total cases: 3\n2 passed, 1 failed\n"), None);
        assert_eq!(passed("Total cases: 3\n2 passed, 0 failed, 1 failed as expected\n"), None);
        assert_eq!(passed(""), None);
    }
}
