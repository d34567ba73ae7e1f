//! A CloudWatch that gets metrics.

mod foreign;
#[path = "../../../tests/it/foreign/process.rs"]
mod process;
