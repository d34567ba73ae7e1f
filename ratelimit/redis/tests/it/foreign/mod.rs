//! Against a Redis server, which is started for each test.

mod limits;
mod outages;
mod server;

use std::time::{Duration, Instant};

/// Looks until it is so; it has ten seconds to become so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}: not within ten seconds");
        // sleeps: another process is waited for, and says nothing when it is there.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
