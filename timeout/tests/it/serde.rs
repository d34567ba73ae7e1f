use purlin_timeout::Timeout;
use std::time::Duration;

#[test]
fn a_timeout_is_read_and_written_as_text() {
    let timeout = Timeout::new(Duration::from_millis(250));
    assert_eq!(serde_json::to_string(&timeout).unwrap(), r#"{"limit":"250ms"}"#);
    assert_eq!(serde_json::from_str::<Timeout>(r#"{"limit":"250ms"}"#).unwrap(), timeout);
}

#[test]
fn what_is_no_duration_and_what_is_unknown_is_refused_by_name() {
    for (text, named) in [
        (r#"{"limit":"soon"}"#, "soon"),
        (r#"{"limit":250}"#, "250"),
        (r#"{"limit":"1s","limmit":"2s"}"#, "limmit"),
        ("{}", "limit"),
    ] {
        let error = serde_json::from_str::<Timeout>(text).unwrap_err().to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
}
