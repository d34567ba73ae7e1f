//! Prints the allocations per call of every micro row, for `benches/micro.rs` to show.

use std::alloc::System;

use purlin_bench::micro::{Counted, rows};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut counted = Counted::new(|| {
        let stats = ALLOCATOR.stats();
        stats.allocations + stats.reallocations
    });
    rows(&mut counted)?;
    for (name, allocations) in &counted.rows {
        println!("{name}\t{allocations}");
    }
    Ok(())
}
