use purlin_concurrency::{AdaptiveLimit, ConcurrencyLayer, ConcurrencyLimit, Limit};
use purlin_endpoint::{
    Context, Layer as _, Request, Service as _,
    conformance::{self, Ask, Probe},
};
use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    task::{self, Poll, Waker},
};

/// Every kind of limit, with a queue and without.
fn each(limit: u32, queues: &[u32]) -> Vec<ConcurrencyLimit> {
    let adaptive = |adaptive: AdaptiveLimit| adaptive.min(1).initial(limit).max(limit);
    let limits = [
        Limit::from(limit),
        adaptive(AdaptiveLimit::gradient()).into(),
        adaptive(AdaptiveLimit::aimd()).into(),
    ];
    let config = |(limit, queue): (Limit, u32)| ConcurrencyLimit::new(limit).queue(queue);
    limits.iter().flat_map(|&l| queues.iter().map(move |&q| (l, q))).map(config).collect()
}

/// A layer whose only permit is taken for good.
fn taken() -> ConcurrencyLayer {
    let layer = ConcurrencyLimit::new(1).layer().unwrap();
    let mut service = layer.layer(Probe::new());
    let mut task = task::Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut task).is_ready());
    std::mem::forget(service.call(Request::new(Context::new(), Ask::Never)));
    layer
}

/// A layer whose only permit is taken for now.
async fn busy() -> (ConcurrencyLayer, impl Sized) {
    let layer = ConcurrencyLimit::new(1).queue(1).layer().unwrap();
    let mut service = layer.layer(Probe::new());
    poll_fn(|task| service.poll_ready(task)).await.unwrap();
    let call = service.call(Request::new(Context::new(), Ask::Never));
    (layer, call)
}

#[tokio::test(start_paused = true)]
async fn the_layer_keeps_the_rules_of_all_layers() {
    conformance::check(|| ConcurrencyLimit::new(1).queue(10).layer().unwrap()).await;
    conformance::check(|| ConcurrencyLimit::default().layer().unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_leaves_the_inner_service_alone() {
    conformance::check_refusing(taken).await;
}

#[tokio::test(start_paused = true)]
async fn clones_share_one_limit() {
    for config in each(7, &[0, 3, 1000]) {
        conformance::check_shared(|| config.clone().layer().unwrap(), 7).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_held_until_the_call_has_ended() {
    for config in each(1, &[0, 3]) {
        let make = || config.clone().layer().unwrap();
        conformance::check_held(make, |layer| layer.handle().in_flight() as usize).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_calls_the_service_that_was_ready() {
    let probe = Probe::new();
    let (layer, held) = busy().await;
    let mut service = layer.layer(probe.clone());
    poll_fn(|task| service.poll_ready(task)).await.unwrap();
    let mut waiting = pin!(service.call(Request::new(Context::new(), Ask::Answer)));
    let mut task = task::Context::from_waker(Waker::noop());
    assert!(matches!(waiting.as_mut().poll(&mut task), Poll::Pending));
    assert_eq!((layer.handle().waiting(), probe.calls()), (1, 0));
    drop(held);
    assert!(waiting.await.is_ok());
    assert_eq!((probe.calls(), probe.unreadied()), (1, 0));
}
