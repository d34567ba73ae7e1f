use crate::SECOND;
use purlin_ratelimit::RateLimit;
use purlin_ratelimit_redis::{RedisRateLimit, WhenAway};

#[test]
fn a_limit_is_read_and_written_as_text() {
    let limit = RedisRateLimit::new("greeter", RateLimit::per_second(5).burst(2));
    let limit = limit.timeout(SECOND / 50).when_away(WhenAway::Refuse);
    let text = concat!(
        r#"{"name":"greeter","limit":{"calls":5.0,"period":"1s","burst":2,"patience":"0s"},"#,
        r#""timeout":"20ms","when_away":"refuse"}"#
    );
    assert_eq!(serde_json::to_string(&limit).unwrap(), text);
    assert_eq!(serde_json::from_str::<RedisRateLimit>(text).unwrap(), limit);
    assert_eq!(serde_json::from_str::<RedisRateLimit>("{}").unwrap(), RedisRateLimit::default());
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    for (text, named) in [
        (r#"{"when_away":"hang"}"#, "hang"),
        (r#"{"timeout":"soon"}"#, "soon"),
        (r#"{"limits":{}}"#, "limits"),
    ] {
        let error = serde_json::from_str::<RedisRateLimit>(text).unwrap_err().to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
}
