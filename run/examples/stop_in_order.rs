//! A group with one actor that has work in flight, which says what it does as it does it.
//!
//! `cargo run -p purlin-run --example stop_in_order`, then Ctrl-C once or twice.

use purlin_run::{Group, Stop};
use std::{process::ExitCode, time::Duration};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let in_flight = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5000);
    let stopped = Group::new()
        .actor("server", move |stop: Stop| async move {
            println!("serving");
            stop.requested().await;
            println!("finishing");
            tokio::time::sleep(Duration::from_millis(in_flight)).await;
        })
        .on_stop("readiness off", async { println!("not ready") })
        .flush("logs", async { println!("flushed") })
        .signals()
        .run()
        .await;
    println!("{}", stopped.first());
    match stopped.into_result() {
        Ok(()) => ExitCode::SUCCESS,
        Err(ended) => {
            eprintln!("{ended}");
            ExitCode::FAILURE
        }
    }
}
