use crate::measured;
use purlin_endpoint::{Context, Endpoint as _, Inspect as _};
use purlin_metrics::{Buckets, MetricsLayer, Registry};
use serde_json::{Value, json};

#[tokio::test(start_paused = true)]
async fn a_handle_shows_each_method_as_its_documentation_says() {
    let buckets = Buckets::new([0.1, 0.5]).unwrap();
    let layer = MetricsLayer::new(Registry::new()).buckets(buckets);
    let handle = layer.handle();
    let shown = || serde_json::from_str::<Value>(&handle.snapshot()).unwrap();
    let head = |methods: Value| {
        json!({
            "metric": "rpc.server.call.duration", "semconv": "1.44.0", "bounds": [0.1, 0.5],
            "methods": methods,
        })
    };
    assert_eq!(shown(), head(json!([])));
    let greet = measured(layer);
    for millis in [0, 1, 250, 750, 750] {
        let _ = greet.invoke(Context::new(), millis).await;
    }
    let method = json!({
        "method": "greeter.Greeter/Greeting", "in_flight": 0, "calls": 5, "failed": 1,
        "codes": {"INTERNAL": 1, "INVALID_ARGUMENT": 1, "OK": 3},
        "sum": 1.751, "buckets": [2, 1, 2],
    });
    assert_eq!(shown(), head(json!([method])));
    assert_eq!(handle.name(), "metrics");
}
