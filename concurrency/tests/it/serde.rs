use purlin_concurrency::{AdaptiveLimit, ConcurrencyLimit};
use std::time::Duration;

#[test]
fn a_limit_is_read_and_written_with_durations_as_texts() {
    let config = ConcurrencyLimit::new(100).queue(20).patience(Duration::from_millis(50));
    let text = r#"{"limit":{"fixed":100},"queue":20,"patience":"50ms"}"#;
    assert_eq!(serde_json::from_str::<ConcurrencyLimit>(text).unwrap(), config);
    let whole =
        r#"{"limit":{"fixed":100},"queue":20,"patience":"50ms","standing":"100ms","reserve":0.5}"#;
    assert_eq!(serde_json::to_string(&config).unwrap(), whole);
}

#[test]
fn what_is_left_out_of_an_adaptive_limit_has_its_default() {
    let text = r#"{"limit":{"adaptive":{"algorithm":"aimd","max":50,"slow":"1s"}}}"#;
    let aimd = AdaptiveLimit::aimd().max(50).slow(Duration::from_secs(1));
    let config = ConcurrencyLimit::new(aimd);
    assert_eq!(serde_json::from_str::<ConcurrencyLimit>(text).unwrap(), config);
    let default = serde_json::from_str::<ConcurrencyLimit>("{}").unwrap();
    assert_eq!(default, ConcurrencyLimit::default());
    let written = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ConcurrencyLimit>(&written).unwrap(), config);
}

#[test]
fn what_is_unknown_or_no_duration_is_refused_by_name() {
    for (text, named) in [
        (r#"{"limmit":{"fixed":1}}"#, "limmit"),
        (r#"{"limit":{"adaptive":{"maximum":1}}}"#, "maximum"),
        (r#"{"limit":{"adaptive":{"algorithm":"vegas"}}}"#, "vegas"),
        (r#"{"patience":"soon"}"#, "soon"),
    ] {
        let error = serde_json::from_str::<ConcurrencyLimit>(text).unwrap_err().to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
}
