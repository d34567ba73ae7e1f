use purlin_concurrency::{AdaptiveLimit, ConcurrencyLimit};
use purlin_endpoint::{CatchPanicLayer, Context, Criticality, Endpoint as _, Error, endpoint_fn};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};
use tokio::runtime::Builder;
use tower::ServiceBuilder;

/// A call that counts itself while it runs.
struct Running(Arc<AtomicU32>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Calls from three threads with runtimes of their own, a tenth of them panicking and a tenth
/// dropped half-way; nobody who waits may be forgotten, or a thread would never end.
fn crowd(config: ConcurrencyLimit, limit: u32, calls: u32) {
    let layer = config.layer().unwrap();
    let handle = layer.handle();
    let running = Arc::new(AtomicU32::new(0));
    let count = running.clone();
    let service = ServiceBuilder::new().layer(CatchPanicLayer::new()).layer(layer).service(
        endpoint_fn(move |_: Context, kind: u32| {
            let now = count.fetch_add(1, Ordering::SeqCst) + 1;
            let running = Running(count.clone());
            async move {
                assert!(now <= limit, "{now} were in flight at once");
                tokio::task::yield_now().await;
                assert!(kind != 1, "it was told to");
                drop(running);
                Ok::<_, Error>(())
            }
        }),
    );
    thread::scope(|scope| {
        for seed in 0..3 {
            let service = service.clone();
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                let runtime = Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(async move {
                    for _ in 0..calls / 12 {
                        let some: Vec<_> = (0..4)
                            .map(|_| {
                                let level = [Criticality::Critical, Criticality::Sheddable];
                                let level = level[random.usize(..2)];
                                let context = Context::new().with_criticality(level);
                                tokio::spawn(service.invoke(context, random.u32(..10)))
                            })
                            .collect();
                        for call in some {
                            if random.u32(..10) == 0 {
                                tokio::task::yield_now().await;
                                call.abort();
                            }
                            let _ = call.await;
                        }
                    }
                });
            });
        }
    });
    assert_eq!((handle.in_flight(), handle.waiting()), (0, 0));
    assert_eq!(running.load(Ordering::SeqCst), 0);
}

fn calls() -> u32 {
    if std::env::var_os("PURLIN_SOAK").is_some() { 10_000_000 } else { 60_000 }
}

#[test]
fn threads_never_exceed_the_limit_nor_lose_a_permit_nor_a_waiter() {
    crowd(ConcurrencyLimit::new(2).queue(10), 2, calls());
    crowd(ConcurrencyLimit::new(3).queue(2).reserve(0.0), 3, calls());
    crowd(ConcurrencyLimit::new(AdaptiveLimit::aimd().min(1).initial(2).max(4)), 4, calls());
}
