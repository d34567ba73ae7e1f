//! Each suite ends as the committed table says.

use purlin_conformance::{
    runs,
    table::{COMMITTED, rows},
};
use std::path::Path;

/// The program that the suites start.
const PROGRAM: &str = env!("CARGO_BIN_EXE_conformance");

fn is_committed(outcome: runs::Outcome) {
    let row = outcome.unwrap_or_else(|trouble| panic!("{trouble}"));
    assert!(
        rows(COMMITTED).contains(&row),
        "docs/conformance.md has no {row:?}: `cargo xtask conformance` writes it anew"
    );
}

#[tokio::test]
async fn foreign_grpc_go_client_passes_every_case_against_our_server() {
    is_committed(runs::go_client(Path::new(PROGRAM)).await);
}

#[tokio::test]
async fn our_client_passes_every_case_against_the_foreign_grpc_go_server() {
    is_committed(runs::our_client().await);
}

#[tokio::test]
async fn our_client_passes_every_case_against_our_server() {
    is_committed(runs::ours().await);
}

#[tokio::test]
async fn our_messages_are_packed_as_the_compression_cases_want_it() {
    is_committed(runs::compressed().await);
}

#[tokio::test]
async fn our_client_passes_every_case_against_a_server_that_misbehaves() {
    is_committed(runs::negative().await);
}

#[tokio::test]
async fn a_call_that_goaway_leaves_out_is_known_not_to_have_begun() {
    purlin_conformance::negative::left_out().await.unwrap();
}

#[tokio::test]
async fn foreign_connectconformance_passes_against_our_server() {
    is_committed(runs::connect_server(Path::new(PROGRAM)).await);
}

#[tokio::test]
async fn our_client_passes_the_foreign_connectconformance() {
    is_committed(runs::connect_client(Path::new(PROGRAM)).await);
}

#[tokio::test]
async fn foreign_h2spec_fails_nothing_but_what_is_listed_on_the_http_listener() {
    is_committed(runs::h2spec_http().await);
}

#[tokio::test]
async fn foreign_h2spec_fails_nothing_but_what_is_listed_on_the_grpc_listener() {
    is_committed(runs::h2spec_grpc().await);
}
