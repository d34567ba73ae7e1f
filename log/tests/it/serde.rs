use purlin_log::{Format, Level, Queue, Sampling};
use std::time::Duration;

#[test]
fn settings_are_read_from_files_and_written_back() {
    let sampling: Sampling =
        serde_json::from_str(r#"{"first": 10, "each": 100, "interval": "250ms"}"#).unwrap();
    assert_eq!(sampling, Sampling::first(10).each(100).interval(Duration::from_millis(250)));
    let queue: Queue = serde_json::from_str(r#"{"bytes": 4096, "patience": "2s"}"#).unwrap();
    assert_eq!(queue, Queue::bytes(4096).patience(Duration::from_secs(2)));
    assert_eq!(serde_json::to_string(&queue).unwrap(), r#"{"bytes":4096,"patience":"2s"}"#);
    let (level, format): (Level, Format) = serde_json::from_str(r#"["warn", "json"]"#).unwrap();
    assert_eq!((level, format), (Level::Warn, Format::Json));
}

#[test]
fn what_is_left_out_has_its_default_and_what_is_unknown_is_refused() {
    assert_eq!(serde_json::from_str::<Queue>("{}").unwrap(), Queue::default());
    assert_eq!(serde_json::from_str::<Sampling>("{}").unwrap(), Sampling::default());
    assert!(serde_json::from_str::<Queue>(r#"{"lines": 1}"#).is_err());
    assert!(serde_json::from_str::<Sampling>(r#"{"burst": 1}"#).is_err());
}
