//! Allocations per call.

use std::hint::black_box;

use tokio::runtime::Builder;

use super::Micro;

const CALLS: u32 = 1000;

/// What was counted, one entry for each row.
#[derive(Debug)]
pub struct Counted<F> {
    /// Reads how many allocations the process has made.
    allocations: F,
    /// Name and allocations per call.
    pub rows: Vec<(String, f64)>,
}

impl<F: Fn() -> usize> Counted<F> {
    /// A counter over the process's allocation count.
    pub fn new(allocations: F) -> Self {
        Self { allocations, rows: Vec::new() }
    }
}

impl<F: Fn() -> usize> Micro for Counted<F> {
    fn row<Setup, Op, Out>(&mut self, name: &str, setup: Setup)
    where
        Setup: Fn() -> Op + Sync,
        Op: AsyncFnMut() -> Out,
    {
        let Ok(runtime) = Builder::new_current_thread().enable_time().build() else { return };
        let mut op = setup();
        let made = runtime.block_on(async {
            // The first calls may fill caches, which is not what a call costs.
            for _ in 0..CALLS {
                black_box(op().await);
            }
            let before = (self.allocations)();
            for _ in 0..CALLS {
                black_box(op().await);
            }
            (self.allocations)() - before
        });
        self.rows.push((name.to_owned(), made as f64 / f64::from(CALLS)));
    }
}
