//! A pick among many, alone and with the bookkeeping of the call around the same no-op.

use std::hint::black_box;
use std::time::Duration;

use purlin_balancer::Balance;
use purlin_endpoint::{BoxError, Context, EndpointFn, Error, Request, endpoint_fn};
use purlin_sd::{Endpoints, Instance, Instancer};
use tokio::runtime::Builder;
use tower::balance::p2c;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, PeakEwma};
use tower::{Service, ServiceExt, service_fn};

use super::Micro;

type NoOp = EndpointFn<fn(Context, u64) -> std::future::Ready<Result<u64, Error>>>;

fn add_one(_: Context, n: u64) -> std::future::Ready<Result<u64, Error>> {
    std::future::ready(Ok(black_box(n) + 1))
}

/// Measures picks among ten and among ten thousand.
///
/// # Errors
///
/// If there is no runtime to be had, or a balancer's settings make no sense.
pub(super) fn rows(micro: &mut impl Micro) -> Result<(), Box<dyn std::error::Error>> {
    // The balancers' tasks live here, and run only while this is waited for.
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let _entered = runtime.enter();
    for count in [10, 10_000] {
        for (name, balance) in [
            ("round robin", Balance::round_robin().ejection(None)),
            ("round robin with ejection", Balance::round_robin()),
            ("peak EWMA", Balance::peak_ewma()),
        ] {
            let instances =
                (0..count).map(|n| Instance::new(format!("10.0.{}.{}:1", n >> 8, n & 255)));
            let instancer = Instancer::fixed(instances);
            let no_op: NoOp = endpoint_fn(add_one);
            let balancer = balance.over(Endpoints::new(instancer, move |_| Ok(no_op)))?;
            runtime.block_on(tokio::time::sleep(Duration::from_millis(10)));
            micro.row(&format!("purlin balancer, {name}, {count} instances"), || {
                let mut own = balancer.endpoint(|endpoint: &NoOp| *endpoint);
                async move || {
                    own.ready().await?.call(Request::new(Context::new(), black_box(1))).await
                }
            });
            micro.row(&format!("purlin balancer, {name}, {count} instances, pick alone"), || {
                let (balancer, context) = (balancer.clone(), Context::new());
                async move || balancer.pick(black_box(&context)).is_ok()
            });
        }
        micro.row(&format!("tower p2c with peak EWMA, {count} instances"), || {
            let mut own = theirs(count);
            async move || {
                let answer: Result<u64, BoxError> =
                    async { own.ready().await?.call(black_box(1)).await }.await;
                answer
            }
        });
    }
    Ok(())
}

fn theirs(count: usize) -> impl Service<u64, Response = u64, Error = BoxError> {
    let no_op = service_fn(|n: u64| async move { Ok::<_, BoxError>(black_box(n) + 1) });
    let loaded = (0..count).map(move |_| {
        let (unknown, decay) = (Duration::from_millis(30), Duration::from_secs(10));
        PeakEwma::new(no_op, unknown, decay.as_nanos() as f64, CompleteOnResponse::default())
    });
    p2c::Balance::new(ServiceList::new(loaded.collect::<Vec<_>>()))
}
