//! Go kit's scenarios for its metrics. What is not here is not ported: `With` on an instrument,
//! a panic on an extra label (that is a series of its own), converting one instrument into another.

use crate::wire::{Tcp, Udp, line};
use metrics::with_local_recorder;
use purlin_metrics::{
    Backend as _, Buckets, Deltas, Exposition, Fanout, Graphite, Influx, Registry, StatsD, Value,
};
use std::collections::HashSet;

/// A registry with Go kit's histogram: 12,345 values of a normal distribution around 500.
fn normal() -> Registry {
    let buckets = Buckets::new((80..=120).map(|five| f64::from(five) * 5.0)).unwrap();
    let registry = Registry::new().buckets("ghi", buckets);
    let mut seed = fastrand::Rng::with_seed(7);
    with_local_recorder(&registry, || {
        let histogram = metrics::histogram!("ghi");
        for _ in 0..12_345 {
            // Twelve draws add up to what is nearly normal, with a deviation of one.
            let draw: f64 = (0..12).map(|_| seed.f64()).sum::<f64>() - 6.0;
            histogram.record(500.0 + 25.0 * draw);
        }
    });
    registry
}

/// What that distribution's quantiles are.
const QUANTILES: [(&str, f64); 4] =
    [("p50", 500.0), ("p90", 532.0), ("p95", 541.1), ("p99", 558.2)];

fn assert_within(value: f64, expected: f64, share: f64) {
    assert!((value - expected).abs() <= expected * share, "{value} is not about {expected}");
}

/// A registry with a counter of distinct random numbers, and their sum.
fn counted(name: &'static str) -> (Registry, u64) {
    let registry = Registry::new();
    let mut seed = fastrand::Rng::with_seed(7);
    let numbers: HashSet<u64> = (0..seed.u64(1..100)).map(|_| seed.u64(0..1000)).collect();
    with_local_recorder(&registry, || {
        let counter = metrics::counter!(name, "label" => "value");
        numbers.iter().for_each(|number| counter.increment(*number));
    });
    (registry, numbers.iter().sum())
}

/// A registry with a gauge that was set and added to, and what it has come to.
fn gauged() -> (Registry, f64) {
    let registry = Registry::new();
    with_local_recorder(&registry, || {
        let gauge = metrics::gauge!("ghi.jkl");
        for number in 0..50 {
            gauge.set(f64::from(number));
        }
        for number in 0..50 {
            gauge.increment(f64::from(number));
        }
    });
    (registry, 49.0 + 1225.0)
}

async fn statsd(registry: &Registry, make: impl FnOnce(String) -> StatsD) -> Vec<String> {
    let udp = Udp::bind().await;
    make(udp.address()).push(&registry.snapshot()).await.unwrap();
    udp.lines().await
}

async fn graphite(registry: &Registry) -> Vec<String> {
    let tcp = Tcp::bind().await;
    let mut backend = Graphite::new(tcp.address());
    let snapshot = registry.snapshot();
    let (pushed, mut stream) = tokio::join!(backend.push(&snapshot), tcp.accept());
    pushed.unwrap();
    drop(backend);
    let mut lines = Vec::new();
    loop {
        match line(&mut stream).await {
            line if line.is_empty() => return lines,
            line => lines.push(line),
        }
    }
}

async fn influx(registry: &Registry) -> Vec<String> {
    let tcp = Tcp::bind().await;
    let uri = format!("http://{}/write?db=test", tcp.address()).parse().unwrap();
    let mut backend = Influx::new(purlin_http_client::HttpClient::new(), uri);
    let snapshot = registry.snapshot();
    let (pushed, body) = tokio::join!(backend.push(&snapshot), tcp.answer("204 No Content"));
    pushed.unwrap();
    // The time is not what is looked at here.
    body.lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[tokio::test]
async fn a_counter_has_the_exact_sum_in_every_format() {
    let (registry, sum) = counted("abc.def");
    assert_eq!(statsd(&registry, StatsD::new).await, [format!("abc.def.label.value:{sum}|c")]);
    assert_eq!(statsd(&registry, StatsD::dog).await, [format!("abc.def:{sum}|c|#label:value")]);
    let line = &graphite(&registry).await[0];
    assert!(line.starts_with(&format!("abc.def.label.value {sum} ")), "{line}");
    assert_eq!(influx(&registry).await, [format!("abc.def,label=value count={sum}")]);
    assert_eq!(registry.snapshot().to_expvar(), format!("{{\"abc.def.label.value\":{sum}}}"),);
    let text = Exposition::Text.render(&registry.snapshot());
    assert!(text.contains(&format!("abc_def_total{{label=\"value\"}} {sum}\n")), "{text}");
}

#[tokio::test]
async fn a_gauge_has_its_last_value_in_every_format() {
    let (registry, value) = gauged();
    assert_eq!(statsd(&registry, StatsD::new).await, [format!("ghi.jkl:{value}|g")]);
    let tagged = |address| StatsD::dog(address).tag("hostname", "foohost").tag("xyz", "abc");
    assert_eq!(
        statsd(&registry, tagged).await,
        [format!("ghi.jkl:{value}|g|#hostname:foohost,xyz:abc")]
    );
    assert!(graphite(&registry).await[0].starts_with(&format!("ghi.jkl {value} ")));
    assert_eq!(influx(&registry).await, [format!("ghi.jkl value={value}")]);
    assert_eq!(registry.snapshot().to_expvar(), format!("{{\"ghi.jkl\":{value}}}"));
}

#[tokio::test]
async fn a_gauge_below_zero_is_set_and_not_lowered() {
    let registry = Registry::new();
    with_local_recorder(&registry, || metrics::gauge!("g").set(-3.0));
    assert_eq!(statsd(&registry, StatsD::new).await, ["g:0|g", "g:-3|g"]);
}

#[tokio::test]
async fn the_quantiles_of_a_histogram_are_within_one_percent() {
    let registry = normal();
    let lines = graphite(&registry).await;
    let expvar: serde_json::Value = serde_json::from_str(&registry.snapshot().to_expvar()).unwrap();
    let influx = influx(&registry).await.remove(0);
    for (name, expected) in QUANTILES {
        let line = lines.iter().find(|line| line.starts_with(&format!("ghi.{name} "))).unwrap();
        assert_within(line.split(' ').nth(1).unwrap().parse().unwrap(), expected, 0.01);
        assert_within(expvar[format!("ghi.{name}")].as_f64().unwrap(), expected, 0.01);
        let field =
            influx.split([' ', ',']).find_map(|field| field.strip_prefix(&format!("{name}=")));
        assert_within(field.unwrap().parse().unwrap(), expected, 0.01);
    }
}

#[tokio::test]
async fn a_sampled_histogram_has_the_exact_count_and_quantiles_within_two_percent() {
    let registry = normal();
    for (make, kind) in [
        (StatsD::new as fn(_) -> _, "ms"),
        (StatsD::dog, "h"),
        (|address| StatsD::dog(address).distributions(), "d"),
        (|address| StatsD::dog(address).timers(), "ms"),
    ] {
        let lines = statsd(&registry, make).await;
        assert!(lines.len() < 42 * 12, "12,345 values are {} lines", lines.len());
        let mut values: Vec<(f64, u64)> = Vec::new();
        for line in lines.iter().filter(|line| !line.contains(".sum:")) {
            let mut parts = line.strip_prefix("ghi:").unwrap().split('|');
            let value = parts.next().unwrap().parse().unwrap();
            assert_eq!(parts.next(), Some(kind));
            let rate =
                parts.next().map_or(1.0, |rate| rate.strip_prefix('@').unwrap().parse().unwrap());
            values.push((value, (1.0_f64 / rate) as u64));
        }
        values.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert_eq!(values.iter().map(|(_, times)| times).sum::<u64>(), 12_345);
        for ((_, expected), share) in QUANTILES.into_iter().zip([0.5, 0.9, 0.95, 0.99]) {
            let mut rank = (12_345.0 * share) as u64;
            let at = values.iter().find(|(_, times)| {
                let found = rank < *times;
                rank = rank.saturating_sub(*times);
                found
            });
            assert_within(at.unwrap().0, expected, 0.02);
        }
    }
}

#[tokio::test]
async fn the_sum_of_a_histogram_is_exact_where_the_daemon_would_lose_it() {
    let registry = Registry::new();
    with_local_recorder(&registry, || {
        metrics::describe_histogram!("took", metrics::Unit::Seconds, "");
        for _ in 0..5 {
            metrics::histogram!("took").record(0.25);
        }
    });
    let lines = statsd(&registry, StatsD::new).await;
    assert_eq!(lines, ["took:250|ms", "took:250|ms|@0.25", "took.sum:1250|c"]);
}

#[tokio::test]
async fn influx_counters_keep_their_own_tags() {
    let registry = Registry::new();
    with_local_recorder(&registry, || {
        metrics::counter!("influx_counter_one", "a" => "b").increment(123);
        metrics::counter!("influx_counter_two", "c" => "d").increment(456);
        metrics::counter!("influx_counter", "a" => "b", "error" => "true").increment(1);
        metrics::counter!("influx_counter", "a" => "b", "error" => "false").increment(2);
        metrics::gauge!("odd name", "k,1" => "v=1 \\\n").set(1.5);
    });
    assert_eq!(
        influx(&registry).await,
        [
            "influx_counter,a=b,error=true count=1",
            "influx_counter,a=b,error=false count=2",
            "influx_counter_one,a=b count=123",
            "influx_counter_two,c=d count=456",
            "odd\\ name,k\\,1=v\\=1\\ /_ value=1.5",
        ]
    );
}

#[test]
fn prometheus_labels_are_one_series_in_any_order() {
    let registry = Registry::new();
    with_local_recorder(&registry, || {
        metrics::counter!("ns_ss_foo", "alpha" => "a", "beta" => "b").increment(1);
        metrics::counter!("ns_ss_foo", "beta" => "b", "alpha" => "a").increment(1);
    });
    let text = Exposition::Text.render(&registry.snapshot());
    assert!(text.contains("ns_ss_foo_total{alpha=\"a\",beta=\"b\"} 2\n"), "{text}");
}

#[test]
fn a_value_that_was_taken_is_not_there_the_next_time() {
    let registry = Registry::new();
    with_local_recorder(&registry, || metrics::counter!("sum").increment(1368));
    let mut deltas = Deltas::new();
    let mut take = || deltas.take(&registry.snapshot()).families[0].series[0].value.clone();
    assert_eq!((take(), take()), (Value::Count(1368), Value::Count(0)));
}

#[test]
fn issue_424_many_threads_observe_and_read_at_once() {
    let registry = Registry::new();
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                with_local_recorder(&registry, || {
                    let histogram = metrics::histogram!("h");
                    for number in 0..1000 {
                        histogram.record(f64::from(number));
                        if number % 100 == 0 {
                            registry.snapshot();
                        }
                    }
                });
            });
        }
    });
    let Value::Histogram(counted) = registry.snapshot().families[0].series[0].value.clone() else {
        panic!("no histogram")
    };
    assert_eq!((counted.count(), counted.sum()), (100_000, 100.0 * 499_500.0));
}

#[test]
fn multi_all_children_receive() {
    let children = [Registry::new(), Registry::new(), Registry::new()];
    let all = children.iter().fold(Fanout::new(), |all, child| all.and(child.clone()));
    with_local_recorder(&all, || {
        metrics::counter!("c").increment(9);
        metrics::counter!("c").absolute(10);
        metrics::gauge!("g").set(5.0);
        metrics::gauge!("g").increment(2.0);
        metrics::gauge!("g").decrement(1.0);
        metrics::histogram!("h").record(7.0);
    });
    for child in children {
        assert!(
            child
                .snapshot()
                .to_expvar()
                .starts_with("{\"c\":10,\"g\":6,\"h.count\":1,\"h.sum\":7,")
        );
    }
}

#[tokio::test]
async fn cn_1_a_connection_that_the_server_has_closed_is_made_again() {
    let (registry, _) = gauged();
    let tcp = Tcp::bind().await;
    let mut backend = Graphite::new(tcp.address());
    for _ in 0..3 {
        let snapshot = registry.snapshot();
        let (pushed, mut stream) = tokio::join!(backend.push(&snapshot), tcp.accept());
        pushed.unwrap();
        assert!(line(&mut stream).await.starts_with("ghi.jkl 1274 "));
    }
}

#[tokio::test]
async fn cn_2_a_first_dial_that_fails_is_tried_again_with_the_next_push() {
    let (registry, _) = gauged();
    let tcp = Tcp::bind().await;
    let address = tcp.address();
    drop(tcp);
    let mut backend = Graphite::new(&address);
    backend.push(&registry.snapshot()).await.unwrap_err();
    let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
    backend.push(&registry.snapshot()).await.unwrap();
    listener.accept().await.unwrap();
}

#[tokio::test]
async fn packets_are_no_longer_than_fits_any_path() {
    let registry = Registry::new();
    with_local_recorder(&registry, || {
        for number in 0..500 {
            metrics::counter!("a.rather.long.name", "number" => number.to_string()).increment(1);
        }
        metrics::counter!("x".repeat(2000)).increment(1);
    });
    let udp = Udp::bind().await;
    StatsD::dog(udp.address()).prefix("greeter.").push(&registry.snapshot()).await.unwrap();
    let packets = udp.packets().await;
    assert!(packets.iter().all(|packet| packet.len() <= 1432), "{packets:?}");
    assert!(packets.len() < 20, "{} packets", packets.len());
    let lines: Vec<_> = packets.iter().flat_map(|packet| packet.lines()).collect();
    assert_eq!(lines.len(), 500, "all but the one that fits no packet");
    assert!(lines.iter().all(|line| line.starts_with("greeter.a.rather.long.name:1|c|#number:")));
}

#[tokio::test]
async fn a_server_that_refuses_what_it_is_sent_is_an_error_with_its_reason() {
    let (registry, _) = gauged();
    let tcp = Tcp::bind().await;
    let uri = format!("http://{}/write?db=test", tcp.address()).parse().unwrap();
    let mut backend = Influx::new(purlin_http_client::HttpClient::new(), uri);
    let snapshot = registry.snapshot();
    let (pushed, _) = tokio::join!(backend.push(&snapshot), tcp.answer("400 Bad Request"));
    assert!(pushed.unwrap_err().to_string().starts_with("400 Bad Request"));
}
