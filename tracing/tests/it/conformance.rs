use crate::tracer;
use purlin_endpoint::conformance::{check, check_held};
use purlin_tracing::{Attribute, Sampling, Tracing, TracingLayer};
use std::sync::Arc;

#[tokio::test]
async fn layers_keep_the_rules_of_all_layers() {
    let (tracer, _spans) = tracer();
    check(|| TracingLayer::server(&tracer)).await;
    check(|| TracingLayer::client(&tracer)).await;
    let (unsampled, _spans) = Tracing::new("test").sampling(Sampling::never()).tracer().unwrap();
    check(|| TracingLayer::server(&unsampled)).await;
}

#[tokio::test]
async fn a_span_is_held_until_the_end_of_its_call() {
    // Counted by what each call's span holds on to: one that has ended holds it in the queue.
    let (tracer, _spans) = Tracing::new("test").queue(1_000).tracer().unwrap();
    let (handle, begun) = (tracer.handle(), Arc::new(()));
    let held = begun.clone();
    let layer = || {
        let begun = begun.clone();
        TracingLayer::server(&tracer).attributes(move |_| {
            // One more clone stays for good for each call that was begun.
            std::mem::forget(begun.clone());
            [] as [Attribute; 0]
        })
    };
    let idle = 3;
    check_held(layer, |_| Arc::strong_count(&held) - idle - handle.queued()).await;
}
