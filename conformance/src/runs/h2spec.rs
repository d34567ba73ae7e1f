//! h2spec, strict, against both listeners.
//!
//! Its counterpart for clients, h2specd, can't be had: the module's newest version that the Go
//! proxy serves is 2.2.1, which has no such program.

use super::{Outcome, output, tool};
use crate::{listeners::Listener, table::Row};
use std::{net::SocketAddr, time::Duration};
use tokio::process::Command;

const SUITE: &str = "h2spec 2.2.1, strict";

/// A case that fails, and why it may.
#[derive(Debug)]
pub struct Listed {
    /// The listener.
    pub side: &'static str,
    /// The section and the title of the case.
    pub case: (&'static str, &'static str),
    /// Why it can't pass.
    pub reason: &'static str,
}

/// All cases that fail.
pub const LISTED: &[Listed] = &[Listed {
    side: "HTTP listener",
    case: ("http2/3.5", "Sends invalid connection preface"),
    reason: "The port speaks HTTP/1.1 as well. What does not begin with HTTP/2's preface is \
                 an HTTP/1.1 request, a malformed one here, and is answered with 400 before the \
                 connection is closed. The suite takes that answer for a frame.",
}];

/// The HTTP listener.
///
/// # Errors
///
/// What fails and is not listed, or the other way round.
pub async fn h2spec_http() -> Outcome {
    let listener = Listener::http().await.map_err(|error| error.to_string())?;
    run("HTTP listener", listener.address()).await
}

/// The gRPC listener.
///
/// # Errors
///
/// What fails and is not listed, or the other way round.
pub async fn h2spec_grpc() -> Outcome {
    let listener = Listener::grpc().await.map_err(|error| error.to_string())?;
    run("gRPC listener", listener.address()).await
}

async fn run(side: &str, address: SocketAddr) -> Outcome {
    let name = format!("purlin-h2spec-{}-{}.xml", std::process::id(), address.port());
    let report = std::env::temp_dir().join(name);
    let mut command = Command::new(tool("PURLIN_H2SPEC")?);
    command.args(["--strict", "--timeout", "2", "--port", &address.port().to_string()]);
    command.arg("--junit-report").arg(&report);
    // It ends badly if any case fails; what failed is in its report.
    let said = output(&mut command, Duration::from_secs(120)).await?;
    let xml = std::fs::read_to_string(&report)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&said.stderr)));
    let _ = std::fs::remove_file(&report);
    let cases = read(&xml?);
    let failed: Vec<_> = cases.iter().filter(|case| !case.passed).map(Case::name).collect();
    let listed = LISTED.iter().filter(|listed| listed.side == side);
    let listed: Vec<_> = listed.map(|listed| listed.case).collect();
    if failed != listed {
        return Err(format!("these fail: {failed:?}, and these are listed: {listed:?}"));
    }
    let (cases, listed) = (cases.len(), listed.len());
    Ok(Row { suite: SUITE.into(), side: side.into(), cases, passed: cases - listed, listed })
}

#[derive(Debug, PartialEq)]
struct Case {
    section: String,
    title: String,
    passed: bool,
}

impl Case {
    fn name(&self) -> (&str, &str) {
        (&self.section, &self.title)
    }
}

/// The cases of a report. Whatever stands inside a case's element says that it did not pass: an
/// error, or that it was skipped.
fn read(xml: &str) -> Vec<Case> {
    let attribute = |element: &str, name: &str| {
        let value = element.split_once(&format!(" {name}=\""))?.1;
        Some(value.split('"').next()?.to_owned())
    };
    let case = |element: &str| {
        let (head, rest) = element.split_once('>')?;
        let inside = rest.split("</testcase>").next()?;
        Some(Case {
            section: attribute(head, "package")?,
            title: attribute(head, "classname")?,
            passed: inside.trim().is_empty(),
        })
    };
    xml.split("<testcase").skip(1).filter_map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_with_anything_inside_has_not_passed() {
        let xml = r#"<testsuite name="1" package="generic/1" tests="3">
            <testcase package="generic/1" classname="Good" time="0.1"></testcase>
            <testcase package="generic/1" classname="Bad" time="0.1">
              <error>Connection closed</error>
            </testcase>
            <testcase package="generic/2" classname="Late" time="0"><skipped></skipped></testcase>
          </testsuite>"#;
        let case = |section: &str, title: &str, passed| Case {
            section: section.into(),
            title: title.into(),
            passed,
        };
        let expected = [
            case("generic/1", "Good", true),
            case("generic/1", "Bad", false),
            case("generic/2", "Late", false),
        ];
        assert_eq!(read(xml), expected);
    }
}
