//! What a call that is let in allocates: nothing.

use crate::limited;
use purlin_endpoint::{Context, Request, Service as _};
use purlin_ratelimit::{RateLimit, RateLimitLayer};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Whether a hundred calls were once made without a single allocation. Other tests run beside this
/// one and allocate too, but not all the time, where a call would do so each time.
async fn some_hundred_calls_allocate_nothing(layer: &RateLimitLayer, context: &Context) -> bool {
    let mut endpoint = limited(layer);
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
async fn a_call_that_is_let_in_allocates_nothing() {
    let limit = RateLimit::per_second(1e9).burst(u32::MAX);
    let context = Context::new().with("acme".to_owned());
    let by_text = limit.by(|context| Some(context.get::<String>()?.as_str().into()));
    for layer in [limit.layer().unwrap(), by_text.layer().unwrap()] {
        assert!(some_hundred_calls_allocate_nothing(&layer, &context).await);
    }
}
