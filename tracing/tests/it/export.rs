use crate::tracer;
use purlin_endpoint::{Code, Context, Endpoint as _, Error, Inspect as _, Layer as _, endpoint_fn};
use purlin_tracing::{Export, Resource, Span, Tracer, Tracing, TracingLayer};
use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::oneshot, time::sleep};

/// Keeps what it exports, after it has failed in these ways.
#[derive(Clone, Default)]
struct Kept {
    batches: Arc<Mutex<Vec<Vec<Span>>>>,
    failures: Arc<Mutex<Vec<Error>>>,
    hangs: bool,
}

impl Export for Kept {
    async fn export(&mut self, resource: &Resource, spans: &[Span]) -> Result<(), Error> {
        assert_eq!(resource.service(), "test");
        if self.hangs {
            pending::<()>().await;
        }
        if let Some(failure) = self.failures.lock().unwrap().pop() {
            return Err(failure);
        }
        self.batches.lock().unwrap().push(spans.to_vec());
        Ok(())
    }
}

impl Kept {
    fn sizes(&self) -> Vec<usize> {
        self.batches.lock().unwrap().iter().map(Vec::len).collect()
    }
}

async fn calls(tracer: &Tracer, count: usize) {
    let endpoint = TracingLayer::server(tracer)
        .layer(endpoint_fn(|_: Context, ()| async { Ok::<_, Error>(()) }));
    for _ in 0..count {
        endpoint.invoke(Context::new(), ()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn spans_are_exported_in_batches_after_the_interval_and_at_the_stop() {
    let (tracer, spans) =
        Tracing::new("test").batch(10).interval(Duration::from_secs(1)).tracer().unwrap();
    let kept = Kept::default();
    let (stop, stopped) = oneshot::channel::<()>();
    let export = tokio::spawn(spans.export(kept.clone(), async { _ = stopped.await }));
    calls(&tracer, 3).await;
    sleep(Duration::from_millis(900)).await;
    assert!(kept.sizes().is_empty());
    sleep(Duration::from_millis(200)).await;
    assert_eq!(kept.sizes(), [3]);
    // As many as a batch holds don't wait for the interval.
    calls(&tracer, 24).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(kept.sizes(), [3, 10, 10, 4]);
    calls(&tracer, 5).await;
    stop.send(()).unwrap();
    export.await.unwrap();
    assert_eq!(kept.sizes(), [3, 10, 10, 4, 5]);
    let handle = tracer.handle();
    assert_eq!((handle.exported(), handle.dropped(), handle.queued()), (32, 0, 0));
    assert_eq!(
        handle.snapshot(),
        r#"{"sampling":{"ratio":1,"at_most":null,"parent":true},"queued":0,"exported":32,"dropped":0,"refused":0}"#
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_may_be_tried_again_is_and_one_that_may_not_is_given_up() {
    let (tracer, spans) = Tracing::new("test").queue(100).tracer().unwrap();
    let kept = Kept::default();
    let unavailable = || Error::of(Code::Unavailable);
    *kept.failures.lock().unwrap() =
        vec![Error::of(Code::InvalidArgument), unavailable(), unavailable()];
    let export = tokio::spawn(spans.export(kept.clone(), pending()));
    calls(&tracer, 7).await;
    sleep(Duration::from_secs(10)).await;
    let handle = tracer.handle();
    assert_eq!((kept.sizes().len(), handle.refused()), (0, 7));
    *kept.failures.lock().unwrap() = vec![unavailable(), unavailable()];
    calls(&tracer, 8).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!((kept.sizes(), handle.exported()), (vec![8], 8));
    export.abort();
}

#[tokio::test(start_paused = true)]
async fn the_last_flush_has_its_time_and_no_more() {
    let tracing = Tracing::new("test").patience(Duration::from_secs(2));
    let (tracer, spans) = tracing.tracer().unwrap();
    let kept = Kept { hangs: true, ..Kept::default() };
    calls(&tracer, 7).await;
    let started = tokio::time::Instant::now();
    spans.export(kept, async {}).await;
    assert_eq!(started.elapsed(), Duration::from_secs(2));
    assert_eq!((tracer.handle().exported(), tracer.handle().dropped()), (0, 7));
}

#[tokio::test(start_paused = true)]
async fn a_stop_amid_an_export_loses_nothing() {
    let (tracer, spans) = tracer();
    let kept = Kept::default();
    kept.failures.lock().unwrap().push(Error::of(Code::Unavailable));
    calls(&tracer, 7).await;
    // The stop comes while the first try is waited for to be repeated.
    let stop = sleep(Duration::from_millis(5_100));
    spans.export(kept.clone(), stop).await;
    assert_eq!((kept.sizes(), tracer.handle().dropped()), (vec![7], 0));
}

#[tokio::test(start_paused = true)]
async fn while_an_export_hangs_calls_go_on_and_memory_is_bounded() {
    let (tracer, spans) = Tracing::new("test").queue(50).batch(10).tracer().unwrap();
    let export = tokio::spawn(spans.export(Kept { hangs: true, ..Kept::default() }, pending()));
    for _ in 0..100 {
        calls(&tracer, 10).await;
        sleep(Duration::from_millis(100)).await;
    }
    let handle = tracer.handle();
    assert_eq!(handle.queued(), 50);
    assert!(handle.dropped() >= 900, "{}", handle.dropped());
    export.abort();
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_always_fails_is_not_in_the_way_of_others_for_ever() {
    let (tracer, spans) = tracer();
    let kept = Kept::default();
    *kept.failures.lock().unwrap() = (0..20).map(|_| Error::of(Code::Unavailable)).collect();
    let export = tokio::spawn(spans.export(kept.clone(), pending()));
    calls(&tracer, 3).await;
    sleep(Duration::from_secs(90)).await;
    assert_eq!((tracer.handle().refused(), kept.sizes().len()), (3, 0));
    kept.failures.lock().unwrap().clear();
    calls(&tracer, 4).await;
    sleep(Duration::from_secs(6)).await;
    assert_eq!(kept.sizes(), [4]);
    export.abort();
}
