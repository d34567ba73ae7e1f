use crate::SECOND;
use purlin_ratelimit::RateLimit;

#[test]
fn a_limit_is_read_and_written_as_text() {
    let limit = RateLimit::new(2.5, 60 * SECOND).burst(20).patience(SECOND / 4);
    let text = r#"{"calls":2.5,"period":"1m","burst":20,"patience":"250ms"}"#;
    assert_eq!(serde_json::to_string(&limit).unwrap(), text);
    assert_eq!(serde_json::from_str::<RateLimit>(text).unwrap(), limit);
}

#[test]
fn what_is_left_out_is_as_in_the_default() {
    assert_eq!(serde_json::from_str::<RateLimit>("{}").unwrap(), RateLimit::default());
    let burst: RateLimit = serde_json::from_str(r#"{"burst":7}"#).unwrap();
    assert_eq!(burst, RateLimit::default().burst(7));
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    for (text, named) in [
        (r#"{"calls":"many"}"#, "many"),
        (r#"{"period":"soon"}"#, "soon"),
        (r#"{"burst":-1}"#, "-1"),
        (r#"{"brust":1}"#, "brust"),
    ] {
        let error = serde_json::from_str::<RateLimit>(text).unwrap_err().to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
}
