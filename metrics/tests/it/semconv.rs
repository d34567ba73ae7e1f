//! The names are those of the golden file.

use crate::{GREETING, measured};
use http::{Request, Response};
use metrics::NoopRecorder;
use purlin_endpoint::{Context, Endpoint as _, Error};
use purlin_metrics::{HttpMetricsLayer, Kind, MetricsLayer, Registry, Snapshot, semconv};
use std::{collections::BTreeSet, convert::Infallible};
use tower::{Layer as _, ServiceExt as _};

/// Each metric as the golden file lists it, the marks aside.
fn listed(snapshot: &Snapshot) -> BTreeSet<String> {
    let families = snapshot.families.iter();
    families
        .map(|family| {
            let kind = match family.kind {
                Kind::Histogram => "histogram",
                Kind::Level => "level",
                other => panic!("{other:?}"),
            };
            let labels: BTreeSet<_> =
                family.series.iter().flat_map(|series| series.labels.iter()).collect();
            let names: BTreeSet<_> =
                labels.into_iter().map(|(name, _)| format!("  {name}\n")).collect();
            format!("{} {kind} {}\n{}", family.name, family.unit, String::from_iter(names))
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn every_name_is_in_the_golden_file_and_nothing_else_is() {
    let registry = Registry::new();
    for layer in [MetricsLayer::new(registry.clone()), MetricsLayer::new(registry.clone()).client()]
    {
        let greet = measured(layer);
        for millis in [1, 2] {
            let _ = greet.invoke(Context::new(), millis).await;
        }
    }
    let http = HttpMetricsLayer::new(registry.clone()).route(|_| Some("/greeting"));
    let fails = |_: Request<()>| async {
        Ok::<_, Infallible>(Response::builder().status(500).body(()).unwrap())
    };
    http.layer(tower::service_fn(fails)).oneshot(Request::new(())).await.unwrap();
    let asked = Request::get("http://greeter.example/").body(()).unwrap();
    let client = HttpMetricsLayer::new(registry.clone()).client();
    client.layer(tower::service_fn(fails)).oneshot(asked).await.unwrap();
    let file = include_str!("../../semconv.txt").replace(" *\n", "\n");
    let mut golden = file.split("\n\n").skip(1);
    assert_eq!(golden.next(), Some(&*format!("version {}", semconv::VERSION)));
    let golden: BTreeSet<String> = golden.map(|block| format!("{}\n", block.trim_end())).collect();
    assert_eq!(listed(&registry.snapshot()), golden);
}

#[tokio::test]
async fn the_schema_is_that_of_the_version() {
    assert!(semconv::SCHEMA_URL.ends_with(semconv::VERSION));
    // A layer whose recorder discards everything works all the same.
    let greet = measured(MetricsLayer::new(NoopRecorder));
    let refused: Error = greet.invoke(Context::new(), 0).await.unwrap_err();
    assert_eq!((refused.message(), GREETING.name()), ("millis is zero", "Greeting"));
}
