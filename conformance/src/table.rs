//! The table in `docs/conformance.md`.

use crate::runs::LISTED;
use std::fmt::Write as _;

/// Where the table is.
pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conformance.md");

/// The table as it is in the repository.
pub const COMMITTED: &str = include_str!("../../docs/conformance.md");

/// One suite on one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The suite, with its version.
    pub suite: String,
    /// What of ours it tests.
    pub side: String,
    /// How many cases were run.
    pub cases: usize,
    /// How many passed.
    pub passed: usize,
    /// How many failed and are listed with a reason.
    pub listed: usize,
}

/// Cases that the suites have and that are not run: the suite, the cases, the reason.
const LEFT_OUT: &[(&str, &str, &str)] = &[
    (
        "gRPC interop",
        "`orca_per_rpc`, `orca_oob`",
        "they are about load reports, for which there is neither a service nor a trailer here",
    ),
    (
        "gRPC interop",
        "`cacheable_unary`",
        "it is about HTTP GET, which gRPC gave up; grpc-go's client has no such case",
    ),
    (
        "gRPC interop",
        "`compute_engine_creds`, `service_account_creds`, `jwt_token_creds`, `per_rpc_creds`, \
         `oauth2_auth_token`, `google_default_credentials`, `compute_engine_channel_credentials`",
        "they need accounts of a cloud",
    ),
    (
        "gRPC interop",
        "`*_compressed_*` with grpc-go",
        "grpc-go has none of these; they are run between our client and our server",
    ),
    (
        "connectconformance",
        "other encodings, gRPC-Web, Connect",
        "`conformance/grpc.yaml` asks for gRPC: HTTP/2 without TLS, with it, and with certificates \
         on both sides; protobuf, identity and gzip",
    ),
    (
        "h2spec",
        "the cases for clients (h2specd)",
        "the newest version that the Go module proxy serves is 2.2.1, which has no h2specd",
    ),
];

const HEAD: &str = "\
# Conformance

Programs that we did not write test both transports. This file is written by `cargo xtask
conformance`, which runs all of them; the tests of `conformance/`, which run them too, fail where it
says anything else. *Listed* cases fail, each with its reason below; no suite has other failures.

| Suite | Side | Cases | Passed | Listed |
| --- | --- | --: | --: | --: |
";

const NOTES: &str = "
## What differs from a suite's own description

- A call is cancelled by dropping it, so the two cancellation cases of our client look at what that
  does: the requests are let go, and the connection serves the next call.
- The transport packs by size and by what a caller accepts; a handler can't choose for one message.
  So in the `*_compressed_*` cases a stream's longer message is the packed one, and a plain answer
  is one to a caller that accepts no other. What was packed is read off the wire.
- The server of the negative HTTP/2 cases is a Python program; `conformance/src/negative/` is one that
  does what its description says. `data_frame_padding` and `no_df_padding_sanity_test` have none: the
  same response comes in pieces of 5 bytes, with 255 bytes of padding each and with none.
- `rpc_soak` and `channel_soak` make 80 calls on 8 threads; `cargo xtask soak` makes 5,000 and 1,000.
";

/// The whole document.
pub fn document(rows: &[Row]) -> String {
    let mut text = HEAD.to_owned();
    for row in rows {
        text += &line(row);
    }
    text += "\n## Listed\n\n";
    for listed in LISTED {
        let (section, title) = listed.case;
        let _ = writeln!(text, "- {}, {section}, *{title}*: {}", listed.side, listed.reason);
    }
    text += "\n## Left out\n\n| Suite | Cases | Why |\n| --- | --- | --- |\n";
    for (suite, cases, reason) in LEFT_OUT {
        let _ = writeln!(text, "| {suite} | {cases} | {reason} |");
    }
    text + NOTES
}

/// A row as it stands in the document.
pub fn line(row: &Row) -> String {
    let Row { suite, side, cases, passed, listed } = row;
    format!("| {suite} | {side} | {cases} | {passed} | {listed} |\n")
}

/// The rows of a document.
pub fn rows(document: &str) -> Vec<Row> {
    document.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
    let [suite, side, cases, passed, listed] = line.split(" | ").collect::<Vec<_>>()[..] else {
        return None;
    };
    Some(Row {
        suite: suite.into(),
        side: side.into(),
        cases: cases.parse().ok()?,
        passed: passed.parse().ok()?,
        listed: listed.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_what_its_rows_make_and_has_a_row_for_each_run() {
        let rows = rows(COMMITTED);
        assert_eq!(rows.len(), crate::runs::ALL.len());
        assert_eq!(document(&rows), COMMITTED);
    }

    #[test]
    fn every_case_of_a_row_has_passed_or_is_listed() {
        for row in rows(COMMITTED) {
            assert!(row.cases > 0, "{row:?}");
            assert_eq!(row.passed + row.listed, row.cases, "{row:?}");
            let listed = LISTED.iter().filter(|listed| listed.side == row.side).count();
            assert_eq!(row.listed, listed, "{row:?}");
        }
    }
}
