use purlin_circuitbreaker::{CircuitBreaker, Throttle};
use purlin_endpoint::Backoff;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn settings_are_read_and_what_is_left_out_is_the_default() {
    let text = r#"{
        "window": {"time": "10s"},
        "failure_rate": null,
        "slow_call": {"over": "250ms", "rate": 0.8},
        "consecutive_failures": 5,
        "half_open_limit": "1m",
        "open_for": {"initial": "2s"}
    }"#;
    let wanted = CircuitBreaker::new()
        .time(10 * SECOND)
        .failure_rate(None)
        .slow_call(SECOND / 4, 0.8)
        .consecutive_failures(5)
        .half_open_limit(60 * SECOND)
        .open_for(Backoff::new(2 * SECOND));
    assert_eq!(serde_json::from_str::<CircuitBreaker>(text).unwrap(), wanted);
    assert_eq!(serde_json::from_str::<CircuitBreaker>("{}").unwrap(), CircuitBreaker::new());
    let throttle: Throttle = serde_json::from_str(r#"{"ratio": 1.5, "time": "30s"}"#).unwrap();
    assert_eq!(throttle, Throttle::new().ratio(1.5).time(30 * SECOND));
}

#[test]
fn settings_that_are_written_are_read_again_as_they_were() {
    for config in [
        CircuitBreaker::new(),
        CircuitBreaker::new().calls(7).slow_call(SECOND, 1.0).consecutive_failures(3),
        CircuitBreaker::new().time(SECOND).failure_rate(None),
    ] {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<CircuitBreaker>(&text).unwrap(), config, "{text}");
    }
    let text = serde_json::to_string(&Throttle::new()).unwrap();
    assert_eq!(text, r#"{"ratio":2.0,"time":"2m","floor":100}"#);
}

#[test]
fn what_is_unknown_is_refused_by_name() {
    for (text, named) in [
        (r#"{"failure_ratio": 0.5}"#, "failure_ratio"),
        (r#"{"window": {"call": 5}}"#, "call"),
        (r#"{"slow_call": {"over": "soon", "rate": 1}}"#, "soon"),
        (r#"{"half_open_limit": 30}"#, "30"),
    ] {
        let error = serde_json::from_str::<CircuitBreaker>(text).unwrap_err().to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
    assert!(serde_json::from_str::<Throttle>(r#"{"k": 2.0}"#).is_err());
}
