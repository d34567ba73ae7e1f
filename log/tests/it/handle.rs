use crate::{Writes, noon};
use purlin_endpoint::Inspect as _;
use purlin_log::{Level, Logger, Sampling};
use std::time::Duration;
use tokio::time::advance;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_level_for_a_time_ends_by_itself() {
    let writes = Writes::default();
    let log = Logger::logfmt(writes.clone()).level(Level::Warn);
    let handle = log.handle();
    handle.set_level_for(Level::Debug, 10 * MINUTE);
    log.with("a", 1).debug("seen").send();
    assert!(writes.line().contains("level=debug"));
    advance(10 * MINUTE - Duration::from_millis(1)).await;
    assert_eq!((handle.level(), log.enabled(Level::Debug)), (Some(Level::Debug), true));
    advance(Duration::from_millis(2)).await;
    assert_eq!((handle.level(), handle.expires()), (Some(Level::Warn), None));
    log.info("not seen").send();
    assert!(writes.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_level_set_for_good_ends_one_for_a_time() {
    let log = Logger::logfmt(std::io::sink());
    log.handle().set_level_for(Level::Debug, MINUTE);
    log.handle().set_level(Level::Error);
    assert_eq!(log.handle().expires(), None);
    advance(2 * MINUTE).await;
    assert_eq!(log.handle().level(), Some(Level::Error));
}

#[tokio::test(start_paused = true)]
async fn the_handle_shows_the_level_its_end_and_what_was_not_written() {
    let shown = |log: &Logger| -> serde_json::Value {
        serde_json::from_str(&log.handle().snapshot()).unwrap()
    };
    let log = Logger::json(Writes::default()).sampling(Sampling::first(1)).unwrap();
    assert_eq!(log.handle().name(), "log");
    (0..3).for_each(|_| log.info("again").send());
    assert_eq!(
        shown(&log),
        serde_json::json!({"level": "info", "format": "json", "dropped": 0, "suppressed": 2})
    );
    log.handle().set_level_for(Level::Debug, MINUTE);
    advance(MINUTE / 2).await;
    let shown_then = shown(&log);
    assert_eq!(
        (&shown_then["level"], &shown_then["afterwards"]),
        (&"debug".into(), &"info".into())
    );
    assert!((30_000..=30_001).contains(&shown_then["expires_ms"].as_u64().unwrap()));
    assert_eq!(shown(&Logger::discard())["level"], "off");
    assert_eq!(Logger::discard().handle().level(), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_suppressed_is_said_when_the_interval_is_over_and_at_the_flush() {
    let writes = Writes::default();
    let log = Logger::logfmt(writes.clone()).clock(noon);
    let log = log.sampling(Sampling::first(2).each(3).interval(MINUTE)).unwrap();
    (0..9).for_each(|n| log.info("again").field("n", n).send());
    let seen = writes.take();
    let numbers: Vec<_> = seen.iter().filter_map(|line| line.trim().split("n=").nth(1)).collect();
    assert_eq!(numbers, ["0", "1", "4", "7"]);
    advance(MINUTE).await;
    log.warn("other").send();
    let seen = writes.take();
    assert!(
        seen[0].ends_with("level=info msg=\"lines suppressed\" of=again lines=5\n"),
        "{seen:?}"
    );
    assert!(seen[1].ends_with("level=warn msg=other\n"));
    (0..4).for_each(|_| log.warn("other").send());
    writes.take();
    log.flush().unwrap();
    assert!(writes.line().ends_with("level=warn msg=\"lines suppressed\" of=other lines=2"));
    log.flush().unwrap();
    assert!(writes.take().is_empty(), "it is said once");
}

#[tokio::test(start_paused = true)]
async fn sampling_is_switched_on_and_off_while_lines_are_written() {
    let writes = Writes::default();
    let log = Logger::logfmt(writes.clone());
    let send = |log: &Logger| (0..3).for_each(|_| log.info("again").send());
    send(&log);
    assert_eq!(writes.take().len(), 3);
    log.handle().sample(Some(Sampling::first(1))).unwrap();
    send(&log);
    assert_eq!(writes.take().len(), 1);
    log.handle().sample(None).unwrap();
    assert!(writes.line().contains("lines=2"));
    send(&log);
    assert_eq!(writes.take().len(), 3);
    assert_eq!(log.handle().sample(Some(Sampling::first(0))).unwrap_err().field, "first");
}

#[test]
fn lines_that_are_lost_are_said_to_be_missing_in_the_next_that_is_not() {
    let writes = Writes::default();
    let log = Logger::logfmt(writes.failing(3)).clock(noon);
    (0..5).for_each(|n| log.info("m").field("n", n).send());
    let seen = writes.take();
    assert_eq!(log.dropped(), 3);
    assert!(seen[0].ends_with("msg=m n=3\n"));
    assert!(seen[1].ends_with("level=warn msg=\"lines dropped\" lines=3\n"), "{seen:?}");
    assert!(seen[2].ends_with("msg=m n=4\n"));
    assert_eq!(seen.len(), 3);
}
