use crate::{ACTIVE, DURATION, counted, series};
use metrics::NoopRecorder;
use purlin_endpoint::conformance;
use purlin_metrics::{MetricsLayer, Registry, Value};

#[tokio::test]
async fn the_layer_keeps_the_rules_of_all_layers() {
    conformance::check(|| MetricsLayer::new(Registry::new())).await;
    conformance::check(|| MetricsLayer::new(NoopRecorder)).await;
    conformance::check(|| MetricsLayer::global().client()).await;
}

#[tokio::test]
async fn calls_in_flight_are_given_back_however_a_call_ends() {
    let registry = Registry::new();
    let active = |registry: &Registry| -> usize {
        let series = series(&registry.snapshot(), ACTIVE);
        series
            .iter()
            .map(|(_, value)| if let Value::Number(n) = value { *n as usize } else { 0 })
            .sum()
    };
    let held = registry.clone();
    conformance::check_held(
        || MetricsLayer::new(registry.clone()),
        move |_: &MetricsLayer| active(&held),
    )
    .await;
}

#[tokio::test]
async fn every_call_that_the_rules_are_tried_on_is_counted_under_its_code() {
    let registry = Registry::new();
    conformance::check(|| MetricsLayer::new(registry.clone())).await;
    let counted = counted(&registry, DURATION);
    assert!(counted.iter().map(|(_, count, _)| count).sum::<u64>() > 1000);
    for code in ["OK", "CANCELLED", "INTERNAL"] {
        let label = format!("rpc.response.status_code={code}");
        assert!(counted.iter().any(|(labels, ..)| labels.contains(&label)), "{code}: {counted:?}");
    }
}
