//! Nanoseconds per call, by one thread and by two.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use super::Micro;
use crate::stats::Spread;

/// Long enough for two threads to overlap, short enough to fit between two disturbances.
const SAMPLE: Duration = Duration::from_millis(20);
const SAMPLES: usize = 15;

/// What was measured, one entry for each row.
#[derive(Debug, Default)]
pub struct Timed {
    /// Name, then nanoseconds per call seen by one thread and by each of two.
    pub rows: Vec<(String, Option<Spread>, Option<Spread>)>,
}

impl Micro for Timed {
    fn row<Setup, Op, Out>(&mut self, name: &str, setup: Setup)
    where
        Setup: Fn() -> Op + Sync,
        Op: AsyncFnMut() -> Out,
    {
        let calls = calibrate(&setup);
        let sample = |threads| -> Vec<f64> {
            (0..SAMPLES).map(|_| nanos_per_call(&setup, threads, calls)).collect()
        };
        let (one, two) = (Spread::of(&sample(1)), Spread::of(&sample(2)));
        self.rows.push((name.to_owned(), one, two));
    }
}

/// How many calls fill a sample.
fn calibrate<Setup, Op, Out>(setup: &Setup) -> u32
where
    Setup: Fn() -> Op + Sync,
    Op: AsyncFnMut() -> Out,
{
    let mut calls: u32 = 64;
    loop {
        let took = nanos_per_call(setup, 1, calls) * f64::from(calls);
        if took >= SAMPLE.as_nanos() as f64 || calls >= 1 << 30 {
            return calls;
        }
        calls *= 2;
    }
}

/// The mean over the threads of what each saw while all were calling.
fn nanos_per_call<Setup, Op, Out>(setup: &Setup, threads: usize, calls: u32) -> f64
where
    Setup: Fn() -> Op + Sync,
    Op: AsyncFnMut() -> Out,
{
    let together = Barrier::new(threads);
    let run = || {
        let Ok(runtime) = Builder::new_current_thread().enable_time().build() else {
            return f64::NAN;
        };
        let mut op = setup();
        runtime.block_on(async {
            together.wait();
            let start = Instant::now();
            for _ in 0..calls {
                black_box(op().await);
            }
            start.elapsed().as_nanos() as f64 / f64::from(calls)
        })
    };
    let seen: Vec<f64> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or(f64::NAN)).collect()
    });
    seen.iter().sum::<f64>() / seen.len() as f64
}
