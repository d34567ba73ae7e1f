//! Goodput under overload, simulated, with a concurrency limit and without.
//!
//! It runs in virtual time, so that it takes seconds where the server that it simulates would take
//! minutes, and comes out the same everywhere.

mod svg;
#[cfg(test)]
mod tests;
mod world;

use std::path::PathBuf;

use clap::Args;
use purlin_bench::table::Table;
use purlin_concurrency::ConcurrencyLimit;

use crate::Failure;
use crate::overload::world::{CAPACITY, Scene, Seen, watch};

/// Simulates an overload, prints a table and draws it.
#[derive(Args)]
pub(crate) struct Overload {
    /// Where the picture goes.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../concurrency/overload.svg"))]
    svg: PathBuf,
}

impl Overload {
    /// Prints what the picture shows.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let shown = Shown::simulate()?;
        println!(
            "Good answers a second, of {CAPACITY:.0} that the server can do:\n\n{}",
            shown.curve()
        );
        std::fs::write(&self.svg, svg::draw(&shown))?;
        println!("drawn in {}", self.svg.display());
        Ok(())
    }
}

/// Multiples of the capacity that are offered.
const LOADS: [f64; 10] = [0.5, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0];
/// Until then queues and limits find their place.
const SETTLED: usize = 4;
const SECONDS: usize = 8;

/// The load while half of the capacity is lost, and from and until which second it is.
const LOAD: f64 = 0.9;
const HALVED: (usize, usize) = (10, 20);
const RECOVERY: usize = 40;

/// Everything that is drawn.
struct Shown {
    /// For each load what was seen with the limit, and without.
    loads: Vec<(f64, [Seen; 2])>,
    recovery: [Seen; 2],
}

impl Shown {
    fn simulate() -> Result<Self, Failure> {
        let both = |load, seconds, halved| -> Result<[Seen; 2], Failure> {
            let scene = |limit| Scene { load, seconds, halved, limit };
            Ok([watch(&scene(Some(ConcurrencyLimit::default())))?, watch(&scene(None))?])
        };
        let mut loads = Vec::new();
        for load in LOADS {
            loads.push((load, both(load, SECONDS, (0, 0))?));
        }
        Ok(Self { loads, recovery: both(LOAD, RECOVERY, HALVED)? })
    }

    /// Goodput and latency at each load.
    fn curve(&self) -> Table {
        let heads = [
            "offered",
            "goodput, limited",
            "p99 ms, limited",
            "goodput, unlimited",
            "p99 ms, unlimited",
        ];
        let mut curve = Table::new(&heads);
        for (load, both) in &self.loads {
            let mut row = vec![format!("{load:.1}×")];
            for seen in both {
                row.push(format!("{:.0}", seen.goodput(SETTLED)));
                let p99 = seen.p99(SETTLED);
                row.push(p99.map_or("–".to_owned(), |p99| format!("{p99:.0}")));
            }
            curve.row(row);
        }
        curve
    }
}
