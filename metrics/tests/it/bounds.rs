//! Whatever callers send, labels stay few.

use crate::{ACTIVE, DURATION, counted, series, work};
use purlin_endpoint::{Context, Endpoint as _, Method, MethodLayer, Request, endpoint_fn};
use purlin_metrics::{MetricsLayer, Registry};
use std::collections::HashSet;
use tower::{ServiceBuilder, ServiceExt as _};

struct Tenant(String);

fn values(registry: &Registry, label: &str) -> HashSet<String> {
    let of = |(labels, ..): (String, u64, f64)| {
        let mut labels = labels.split(',').filter_map(|pair| pair.split_once('='));
        labels.find(|(name, _)| *name == label).map(|(_, value)| value.to_owned())
    };
    counted(registry, DURATION).into_iter().filter_map(of).collect()
}

#[tokio::test]
async fn calls_without_a_method_are_one_value_whatever_they_ask_for() {
    let registry = Registry::new();
    let greet = MetricsLayer::new(registry.clone());
    let mut seed = fastrand::Rng::with_seed(7);
    for _ in 0..1000 {
        let path: String = (0..20).map(|_| seed.alphanumeric()).collect();
        let echo = tower::service_fn(|request: Request<String>| async move {
            Ok::<_, purlin_endpoint::Error>(request.message)
        });
        let echo = ServiceBuilder::new().layer(greet.clone()).service(echo);
        echo.oneshot(Request::new(Context::new(), path)).await.unwrap();
    }
    assert_eq!(values(&registry, "rpc.method"), HashSet::from(["_OTHER".to_owned()]));
    assert_eq!(counted(&registry, DURATION)[0].1, 1000);
}

#[tokio::test(start_paused = true)]
async fn more_methods_than_there_is_room_for_are_one_value() {
    let registry = Registry::new();
    let layer = MetricsLayer::new(registry.clone());
    for number in 0..300 {
        let name: &'static str = Box::leak(format!("M{number}").into_boxed_str());
        let method: &'static Method = Box::leak(Box::new(Method::unary("test.Many", name)));
        let one = ServiceBuilder::new()
            .layer(MethodLayer::new(method))
            .layer(layer.clone())
            .service(endpoint_fn(work));
        one.invoke(Context::new(), 2).await.unwrap();
    }
    let methods = values(&registry, "rpc.method");
    assert_eq!(methods.len(), 257);
    assert!(methods.contains("_OTHER"));
    let all: u64 = counted(&registry, DURATION).iter().map(|(_, count, _)| count).sum();
    assert_eq!(all, 300, "none is lost");
}

#[tokio::test(start_paused = true)]
async fn a_label_of_the_users_has_no_more_values_than_its_limit_and_one() {
    let registry = Registry::new();
    let layer = MetricsLayer::new(registry.clone())
        .label("tenant", 3, |context| Some(&*context.get::<Tenant>()?.0));
    let greet = crate::measured(layer);
    for number in 0..100 {
        for tenant in [format!("t{number}"), format!("\u{1b}[2J{number}"), "t\n".repeat(number + 1)]
        {
            greet.invoke(Context::new().with(Tenant(tenant)), 2).await.unwrap();
        }
    }
    greet.invoke(Context::new(), 2).await.unwrap();
    let expected = ["t0", "t1", "t2", "_OTHER"].map(str::to_owned);
    assert_eq!(values(&registry, "tenant"), HashSet::from(expected));
    let counts: Vec<u64> =
        counted(&registry, DURATION).iter().map(|(_, count, _)| *count).collect();
    assert_eq!(counts, [1, 297, 1, 1, 1]);
    assert_eq!(series(&registry.snapshot(), ACTIVE).len(), 5, "and calls in flight have it too");
}
