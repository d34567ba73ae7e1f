//! What a call allocates: nothing.

use crate::GREETING;
use purlin_endpoint::{Context, Error, Layer as _, Request, Service as _};
use purlin_metrics::{MetricsLayer, Registry};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Whether a hundred calls were once made without a single allocation. Other tests run beside this
/// one and allocate too, but not all the time, where a call would do so each time.
async fn some_hundred_calls_allocate_nothing(layer: &MetricsLayer, context: &Context) -> bool {
    let inner = tower::service_fn(|_: Request<()>| std::future::ready(Ok::<_, Error>(())));
    let mut endpoint = layer.layer(inner);
    for _ in 0..10_000 {
        let requests: Vec<_> = (0..100).map(|_| Request::new(context.clone(), ())).collect();
        let before = ALLOCATOR.stats().allocations;
        for request in requests {
            assert!(endpoint.call(request).await.is_ok());
        }
        if ALLOCATOR.stats().allocations == before {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_call_allocates_nothing_once_its_series_are_known() {
    let layer = MetricsLayer::new(Registry::new());
    let labelled = layer.clone().label("tenant", 10, |context| Some(context.get::<String>()?));
    let context = Context::new().with_method(&GREETING).with("acme".to_owned());
    for layer in [layer, labelled] {
        assert!(some_hundred_calls_allocate_nothing(&layer, &context).await);
    }
}
