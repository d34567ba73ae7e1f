//! What the micro rows allocate: counts are exact, so they are asserted where times are not.

use std::collections::HashMap;
use std::process::Command;

fn counts() -> HashMap<String, f64> {
    let counted = Command::new(env!("CARGO_BIN_EXE_micro-allocs")).output().unwrap();
    assert!(counted.status.success(), "{}", String::from_utf8_lossy(&counted.stderr));
    String::from_utf8(counted.stdout)
        .unwrap()
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(name, count)| (name.to_owned(), count.parse().unwrap()))
        .collect()
}

#[test]
fn a_static_stack_allocates_nothing_and_an_erased_one_once() {
    let counts = counts();
    let expected = [
        ("purlin endpoint, no layer, &mut", 0.0),
        ("purlin, 5 no-op layers, invoke", 0.0),
        ("purlin, 5 no-op layers, &mut", 0.0),
        ("purlin, 5 layers that time the call, &mut", 0.0),
        ("purlin BoxEndpoint, 5 no-op layers, invoke", 1.0),
        ("purlin BoxEndpoint, 5 no-op layers, &mut", 1.0),
        // The counter counts: tower's box is known to allocate as well.
        ("tower BoxCloneSyncService, 5 no-op layers, &mut", 1.0),
    ];
    for (name, count) in expected {
        assert_eq!(counts.get(name), Some(&count), "{name}");
    }
}

#[test]
fn a_layer_that_lets_a_call_in_allocates_nothing() {
    let counts = counts();
    for (inner, names) in [
        (
            "no-op",
            &[
                "purlin breaker",
                "purlin limiter",
                "purlin limiter, by address",
                "purlin concurrency",
                "purlin concurrency, adaptive",
                "purlin balancer, round robin with ejection, 10000 instances",
                "purlin balancer, round robin, 10 instances",
                "purlin balancer, peak EWMA, 10 instances",
                "purlin balancer, peak EWMA, 10000 instances",
            ][..],
        ),
        // A context that knows its method is one allocation.
        (
            "no-op, method named",
            &["purlin breaker, by method", "purlin retry with budget", "purlin timeout"],
        ),
    ] {
        for name in names {
            assert_eq!(counts.get(*name), counts.get(inner), "{name}");
        }
    }
    assert_eq!(counts.get("no-op"), Some(&0.0));
}
