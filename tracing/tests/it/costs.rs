//! What a call allocates.

use crate::{called_by, caller, tracer};
use purlin_endpoint::{Context, Error, Layer as _, Method, Request, Service as _};
use purlin_tracing::{Sampling, Tracing, TracingLayer};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");

/// How much a hundred calls allocate. Other tests run beside this one and allocate too, but not all
/// the time, so that the least of many rounds is what calls do.
async fn a_hundred_calls(layer: &TracingLayer, context: &Context, ended: impl Fn()) -> usize {
    let inner = tower::service_fn(|_: Request<()>| std::future::ready(Ok::<_, Error>(())));
    let mut endpoint = layer.layer(inner);
    let mut least = usize::MAX;
    for _ in 0..2_000 {
        // As from a transport: each call has a context of its own, with facts.
        let context = || context.clone().with_method(&GREETING);
        let requests: Vec<_> = (0..100).map(|_| Request::new(context(), ())).collect();
        let before = ALLOCATOR.stats().allocations;
        for request in requests {
            assert!(endpoint.call(request).await.is_ok());
        }
        least = least.min(ALLOCATOR.stats().allocations - before);
        ended();
    }
    least
}

#[tokio::test]
async fn a_call_that_is_not_recorded_allocates_nothing() {
    let (tracer, _spans) = Tracing::new("test").sampling(Sampling::never()).tracer().unwrap();
    for context in [Context::new(), called_by(caller())] {
        let server = TracingLayer::server(&tracer);
        assert_eq!(a_hundred_calls(&server, &context, || ()).await, 0);
        let client = TracingLayer::client(&tracer);
        assert_eq!(a_hundred_calls(&client, &context, || ()).await, 0);
    }
}

#[tokio::test]
async fn a_call_that_is_recorded_allocates_its_record_and_a_clients_its_notes() {
    let (tracer, spans) = tracer();
    let spans = std::cell::RefCell::new(spans);
    let ended = || drop(spans.borrow_mut().take());
    let server = TracingLayer::server(&tracer);
    assert_eq!(a_hundred_calls(&server, &Context::new(), ended).await, 100);
    let client = TracingLayer::client(&tracer);
    assert_eq!(a_hundred_calls(&client, &Context::new(), ended).await, 200);
}
