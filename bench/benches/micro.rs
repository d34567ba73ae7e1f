//! Nanoseconds and allocations per call, beside what a user would pick instead.
//!
//! Run with `cargo bench -p purlin-bench --bench micro`.

use std::error::Error;
use std::process::Command;

use purlin_bench::micro::{Timed, contended, rows};
use purlin_bench::stats::Spread;
use purlin_bench::table::Table;

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo test --all-targets` runs this too, and has no use for timings.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    // Counting is another program's work, because an allocator that counts is slower.
    let counted = Command::new(env!("CARGO_BIN_EXE_micro-allocs")).output()?;
    let counted = String::from_utf8(counted.stdout)?;
    let mut timed = Timed::default();
    rows(&mut timed)?;
    let mut table = Table::new(&["row", "ns/call, 1 thread", "ns/call, 2 threads", "allocs/call"]);
    for (name, one, two) in &timed.rows {
        let allocations =
            counted.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
        let allocations = allocations.ok_or_else(|| format!("no count of {name}"))?;
        table.row([name.clone(), shown(*one), shown(*two), allocations.to_owned()]);
    }
    println!("{table}");
    println!("{}", contended()?);
    Ok(())
}

fn shown(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "–".to_owned(), |spread| format!("{spread:.1}"))
}
