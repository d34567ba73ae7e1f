use crate::script::MS;
use purlin_endpoint::Backoff;
use purlin_retry::{Budget, Hedge, Retry};

#[test]
fn a_retry_is_read_and_written_as_text() {
    let retry = Retry::attempts(4)
        .backoff(Backoff::new(50 * MS).multiplier(2.0).longest(1_000 * MS))
        .attempt_timeout(250 * MS)
        .budget(Budget::ratio(0.1).floor(5));
    let text = serde_json::to_string(&retry).unwrap();
    assert!(text.contains(r#""attempt_timeout":"250ms""#), "{text}");
    assert!(text.contains(r#""budget":{"ratio":0.1,"floor":5}"#), "{text}");
    assert_eq!(serde_json::from_str::<Retry>(&text).unwrap(), retry);
    assert_eq!(serde_json::from_str::<Retry>("{}").unwrap(), Retry::default());
    let some = serde_json::from_str::<Retry>(r#"{"attempts":2}"#).unwrap();
    assert_eq!(some, Retry::attempts(2));
}

#[test]
fn a_hedge_is_read_and_written_as_text() {
    for (text, hedge) in [
        (r#"{"delay":"50ms"}"#, Hedge::after(50 * MS)),
        (r#"{"percentile":0.95}"#, Hedge::default()),
        (r#"{"percentile":0.9,"delay":"7ms","attempts":3}"#, {
            Hedge::percentile(0.9).delay(7 * MS).attempts(3)
        }),
    ] {
        assert_eq!(serde_json::from_str::<Hedge>(text).unwrap(), hedge);
        let written = serde_json::to_string(&hedge).unwrap();
        assert_eq!(serde_json::from_str::<Hedge>(&written).unwrap(), hedge);
    }
    // Neither a delay nor a percentile is a mistake that shows where the layer is built.
    let neither = serde_json::from_str::<Hedge>("{}").unwrap();
    assert_eq!(neither.layer().unwrap_err().field, "delay");
}

#[test]
fn what_is_unknown_or_no_duration_is_refused_by_name() {
    for (text, named) in [
        (r#"{"atempts":3}"#, "atempts"),
        (r#"{"attempt_timeout":"soon"}"#, "soon"),
        (r#"{"budget":{"ratio":0.1,"flor":1}}"#, "flor"),
        (r#"{"backoff":{"initial":5}}"#, "5"),
    ] {
        let error = serde_json::from_str::<Retry>(text).unwrap_err().to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
    let error = serde_json::from_str::<Hedge>(r#"{"percentil":0.9}"#).unwrap_err().to_string();
    assert!(error.contains("percentil"), "{error}");
}
