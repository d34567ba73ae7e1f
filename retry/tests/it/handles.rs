use crate::script::{MS, READ, Script};
use purlin_endpoint::{Backoff, Code, Context, Error, Inspect as _};
use purlin_retry::{Budget, Hedge, Retry};

fn failing() -> Script {
    Script::failing(|| Error::of(Code::Unavailable))
}

#[tokio::test(start_paused = true)]
async fn a_configuration_changes_while_calls_run_and_counts_stay() {
    let layer = Retry::attempts(2).layer().unwrap();
    let handle = layer.handle();
    assert!(failing().read(&layer).await.is_err());
    assert_eq!((handle.calls(), handle.repeats(), handle.refused()), (1, 1, 0));

    let slower = Retry::attempts(5).backoff(Backoff::new(MS).jitter(0.0)).attempt_timeout(9 * MS);
    handle.update(slower.budget(Budget::ratio(0.5).floor(3))).unwrap();
    let script = failing();
    assert!(script.read(&layer).await.is_err());
    assert_eq!(script.attempts(), 3, "the first call has taken one of three");
    assert_eq!(script.seen()[0].left, Some(9));
    assert_eq!((handle.calls(), handle.repeats(), handle.refused()), (2, 3, 1));

    assert_eq!(handle.update(Retry::attempts(0)).unwrap_err().field, "attempts");
    assert_eq!(handle.config().budget(Budget::default()), slower);
    // A shared budget is nobody's to change in passing.
    let purse = Budget::ratio(0.3).floor(7).purse().unwrap();
    let sharing = Retry::default().layer_on(&purse).unwrap().handle();
    sharing.update(Retry::attempts(2)).unwrap();
    assert_eq!(purse.budget(), Budget::ratio(0.3).floor(7));
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_switched_on_and_off_follows_at_once() {
    let layer = Retry::attempts(1).layer().unwrap();
    for (attempts, seen) in [(1, 1), (3, 3), (1, 1)] {
        layer.handle().update(Retry::attempts(attempts)).unwrap();
        let script = failing();
        assert!(script.read(&layer).await.is_err());
        assert_eq!(script.attempts(), seen);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_changes_its_delay_while_it_runs() {
    let layer = Hedge::after(10 * MS).layer().unwrap();
    let handle = layer.handle();
    handle.update(Hedge::after(70 * MS)).unwrap();
    assert_eq!(handle.delay(), Some(70 * MS));
    assert_eq!(handle.update(Hedge::percentile(7.0)).unwrap_err().field, "percentile");
    assert_eq!(handle.config(), Hedge::after(70 * MS));
    let script = failing();
    let context = Context::new().with_method(&READ);
    assert!(script.run(&layer, context).await.is_err());
    assert_eq!((handle.calls(), handle.repeats()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_json() {
    let retry = Retry::default().layer().unwrap();
    assert!(failing().read(&retry).await.is_err());
    let read = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let snapshot = read(retry.handle().snapshot());
    let wanted = r#"{"calls": 1, "repeats": 2, "refused": 0, "budget_left": 8}"#;
    assert_eq!(snapshot, read(wanted.to_owned()));
    assert_eq!(retry.handle().name(), "retry");
    let hedge = Hedge::after(1500 * MS).layer().unwrap().handle();
    assert_eq!(read(hedge.snapshot())["delay_ms"], 1500.0);
    let hedge = Hedge::default().layer().unwrap().handle();
    assert!(read(hedge.snapshot())["delay_ms"].is_null());
    assert_eq!(hedge.name(), "hedge");
}
