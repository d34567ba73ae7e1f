use crate::script::READ;
use purlin_endpoint::{
    Layer, MethodLayer, Named,
    conformance::{self, Probe},
};
use purlin_retry::{Hedge, HedgeLayer, Retry, RetryLayer};
use std::time::Duration;

fn retry() -> RetryLayer {
    Retry::attempts(3).attempt_timeout(Duration::from_secs(1)).layer().unwrap()
}

fn hedge() -> HedgeLayer {
    Hedge::after(Duration::from_secs(1)).layer().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_retry_keeps_the_rules_of_all_layers() {
    conformance::check(retry).await;
    conformance::check(|| Retry::default().layer().unwrap()).await;
    conformance::check(|| Retry::attempts(1).layer().unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn a_hedge_keeps_the_rules_of_all_layers() {
    conformance::check(hedge).await;
    conformance::check(|| Hedge::default().layer().unwrap()).await;
}

/// Names an idempotent method, which the kit's own are not.
#[derive(Clone)]
struct Idempotent<L>(L);

impl<L: Layer<Probe>> Layer<Probe> for Idempotent<L> {
    type Service = Named<L::Service>;

    fn layer(&self, inner: Probe) -> Self::Service {
        MethodLayer::new(&READ).layer(self.0.layer(inner))
    }
}

#[tokio::test(start_paused = true)]
async fn both_keep_the_rules_where_calls_may_be_repeated() {
    conformance::check(|| Idempotent(retry())).await;
    conformance::check(|| Idempotent(hedge())).await;
}
