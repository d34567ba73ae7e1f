//! What a layer costs when many share it: a table of its own.

use std::error::Error;
use std::hint::{black_box, spin_loop};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use purlin_circuitbreaker::CircuitBreaker;
use purlin_concurrency::ConcurrencyLimit;
use purlin_endpoint::{Context, Method, MethodLayer, Request, endpoint_fn};
use purlin_ratelimit::RateLimit;
use purlin_retry::Retry;
use tokio::runtime::Builder;
use tower::Service;
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_resilience::circuitbreaker::CircuitBreakerLayer;

use crate::stats::Spread;
use crate::table::Table;

static METHOD: Method = Method::unary("bench.Bench", "Call").idempotent();

const TASKS: u32 = 64;
const CALLS: u32 = 20_000;
const ROUNDS: usize = 5;
/// What a caller does between two calls, where it is asked whether two do twice as much as one.
const WORK: Duration = Duration::from_micros(1);

/// Measures layers that many share: wall nanoseconds per call of 64 tasks on two workers, and how
/// much more two threads do than one with a microsecond of work between calls.
///
/// # Errors
///
/// If there is no runtime to be had, or a layer's settings make no sense.
pub fn contended() -> Result<Table, Box<dyn Error>> {
    let mut table =
        Table::new(&["shared by all", "ns/call, 64 tasks on 2 workers", "2 threads / 1"]);
    let bare = endpoint_fn(|_: Context, n: u64| async move {
        Ok::<_, purlin_endpoint::Error>(black_box(n) + 1)
    });
    let mut ours = |name: &str, service| {
        row(&mut table, name, &service, || Request::new(Context::new(), black_box(1_u64)))
    };
    fn erase<S>(service: S) -> purlin_endpoint::BoxEndpoint<u64, u64>
    where
        S: purlin_endpoint::Endpoint<u64, Response = u64, Error = purlin_endpoint::Error>,
    {
        purlin_endpoint::BoxEndpoint::new(service)
    }
    ours("purlin no-op, boxed", erase(bare))?;
    let breaker = CircuitBreaker::new().layer()?;
    let named = ServiceBuilder::new().layer(MethodLayer::new(&METHOD)).layer(breaker);
    ours("purlin breaker, boxed", erase(named.service(bare)))?;
    let limit = RateLimit::per_second(1e9).burst(1_000_000_000).layer()?;
    ours("purlin limiter, boxed", erase(limit.layer(bare)))?;
    ours("purlin concurrency, boxed", erase(ConcurrencyLimit::new(100).layer()?.layer(bare)))?;
    let retry = ServiceBuilder::new().layer(MethodLayer::new(&METHOD));
    let retry = retry.layer(Retry::attempts(3).layer()?).service(bare);
    ours("purlin retry, boxed", erase(retry))?;

    let plain = service_fn(|n: u64| async move { Ok::<_, BoxError>(black_box(n) + 1) });
    row(
        &mut table,
        "tower-resilience breaker",
        &CircuitBreakerLayer::builder().build()?.layer(plain),
        || 1,
    )?;
    let mutex = std::sync::Arc::new(Mutex::new(0_u64));
    let twice = service_fn(move |n: u64| {
        let mutex = mutex.clone();
        async move {
            *mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += n;
            *mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner) -= n;
            Ok::<_, BoxError>(n)
        }
    });
    row(&mut table, "a mutex taken twice", &twice, || 1)?;
    Ok(table)
}

fn row<S, Req>(
    table: &mut Table,
    name: &str,
    service: &S,
    ask: fn() -> Req,
) -> Result<(), Box<dyn Error>>
where
    S: Service<Req, Response: Send, Error: Send, Future: Send> + Clone + Send + Sync + 'static,
    Req: Send + 'static,
{
    let tasks: Result<Vec<f64>, _> = (0..ROUNDS).map(|_| many_tasks(service, ask)).collect();
    let scaling: Result<Vec<f64>, _> = (0..ROUNDS)
        .map(|_| {
            Ok::<_, Box<dyn Error>>(throughput(service, ask, 2)? / throughput(service, ask, 1)?)
        })
        .collect();
    let shown = |spread: Option<Spread>| spread.map_or_else(|| "–".into(), |it| format!("{it:.2}"));
    table.row([name.to_owned(), shown(Spread::of(&tasks?)), shown(Spread::of(&scaling?))]);
    Ok(())
}

fn many_tasks<S, Req>(service: &S, ask: fn() -> Req) -> Result<f64, Box<dyn Error>>
where
    S: Service<Req, Response: Send, Error: Send, Future: Send> + Clone + Send + Sync + 'static,
    Req: Send + 'static,
{
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let started = Instant::now();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let mut own = service.clone();
                tokio::spawn(async move {
                    for call in 0..CALLS {
                        black_box(once(&mut own, ask()).await.is_ok());
                        // Tasks take turns, as they do where calls wait for something.
                        if call % 16 == 0 {
                            tokio::task::yield_now().await;
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            // A task that panicked has said so itself.
            let _ = task.await;
        }
    });
    Ok(started.elapsed().as_nanos() as f64 / f64::from(TASKS * CALLS))
}

async fn once<S: Service<Req>, Req>(own: &mut S, request: Req) -> Result<S::Response, S::Error> {
    own.ready().await?.call(request).await
}

/// Calls per nanosecond of so many threads together, each with a runtime of its own.
fn throughput<S, Req>(service: &S, ask: fn() -> Req, threads: usize) -> Result<f64, Box<dyn Error>>
where
    S: Service<Req, Response: Send, Error: Send, Future: Send> + Clone + Send + Sync + 'static,
    Req: Send + 'static,
{
    let together = Barrier::new(threads);
    let run = || {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let mut own = service.clone();
        Ok::<f64, std::io::Error>(runtime.block_on(async {
            together.wait();
            let started = Instant::now();
            for _ in 0..CALLS {
                black_box(once(&mut own, ask()).await.is_ok());
                let until = Instant::now() + WORK;
                while Instant::now() < until {
                    spin_loop();
                }
            }
            f64::from(CALLS) / started.elapsed().as_nanos() as f64
        }))
    };
    let rates: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut sum = 0.0;
    for rate in rates {
        sum += rate.map_err(|_| "a thread panicked")??;
    }
    Ok(sum)
}
