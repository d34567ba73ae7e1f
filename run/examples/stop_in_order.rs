//! A group with one actor that has work in flight, which says what it does as it does it.
//!
//! `cargo run -p purlin-run --example stop_in_order` stops by itself; with `-- 5000` it waits for
//! Ctrl-C, and takes so many milliseconds to finish, in which a second Ctrl-C ends it at once.

use purlin_run::{Group, Stop};
use std::{process::ExitCode, time::Duration};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let in_flight = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let stopped = Group::new()
        .actor("server", move |stop: Stop| async move {
            println!("serving");
            stop.requested().await;
            println!("finishing");
            tokio::time::sleep(Duration::from_millis(in_flight.unwrap_or(0))).await;
        })
        .actor("timer", move |stop: Stop| async move {
            match in_flight {
                Some(_) => stop.requested().await,
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
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
