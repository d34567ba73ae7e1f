//! Go kit's scenarios for `lb.Retry`, and where ours is better on purpose.

use crate::script::{MS, READ, Script, Step};
use purlin_endpoint::{Code, Context, Error};
use purlin_retry::{Attempts, Retry, TimedOut};
use std::sync::{Arc, Mutex};

#[derive(Debug, PartialEq)]
struct Mine;

impl std::fmt::Display for Mine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("mine")
    }
}

impl std::error::Error for Mine {}

fn no_endpoints() -> Error {
    Error::new(Code::Unavailable, "no endpoints available").unreached()
}

fn failed(text: &'static str) -> Step {
    Step::Fail(Error::new(Code::Unavailable, text))
}

/// Go kit asks 999 times without a pause, and ends where it likes. Here so many attempts are a
/// mistake that shows at start-up, and the five there can be keep their distance.
#[tokio::test(start_paused = true)]
async fn rt_1_nothing_to_call_is_an_error_after_all_attempts() {
    assert_eq!(Retry::attempts(999).layer().unwrap_err().field, "attempts");
    let script = Script::failing(no_endpoints);
    let layer = Retry::attempts(5).layer().unwrap();
    let error = script.run(&layer, Context::new().with_timeout(1_000 * MS)).await.unwrap_err();
    assert_eq!((error.code(), script.attempts()), (Code::Unavailable, 5));
    assert!(script.times().is_sorted_by(|earlier, later| later - earlier >= 19));
}

fn two_errors() -> Script {
    Script::new([failed("error one"), failed("error two"), Step::Answer])
}

#[tokio::test(start_paused = true)]
async fn rt_2_as_many_failures_as_attempts_are_an_error() {
    let (script, layer) = (two_errors(), Retry::attempts(2).layer().unwrap());
    let error = script.read(&layer).await.unwrap_err();
    assert_eq!(error.message(), "error two");
    let attempts = error.find::<Attempts>().unwrap();
    assert_eq!(attempts.to_string(), "error two (previously: error one)");
}

#[tokio::test(start_paused = true)]
async fn rt_3_one_attempt_more_than_failures_is_a_success() {
    let (script, layer) = (two_errors(), Retry::attempts(3).layer().unwrap());
    assert_eq!(script.read(&layer).await.unwrap(), 2);
}

/// Go kit returns the bare `context.DeadlineExceeded` and forgets what the attempts before it had
/// failed with. Here every one of them is kept.
#[tokio::test(start_paused = true)]
async fn rt_4_a_timeout_keeps_every_attempt() {
    let layer = Retry::attempts(3).layer().unwrap();
    let context = || Context::new().with_method(&READ).with_timeout(100 * MS);
    let quick = Script::new([Step::Answer]);
    assert!(quick.run(&layer, context()).await.is_ok());

    let slow = Script::new([failed("error one"), Step::After(1_000 * MS, Ok(()))]);
    let error = slow.run(&layer, context()).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(
        error.find::<TimedOut>().map(|timed_out| timed_out.attempt),
        Some(false),
        "the call's own time was over"
    );
    let attempts = error.find::<Attempts>().unwrap();
    assert_eq!(attempts.earlier()[0].message(), "error one");
    assert!(attempts.to_string().ends_with("(previously: error one)"), "{attempts}");
    assert_eq!(slow.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn rt_5_a_callback_ends_early_with_an_error_of_its_own() {
    let script = Script::failing(no_endpoints);
    let aborting = || Error::new(Code::FailedPrecondition, "aborting early");
    let layer = Retry::attempts(5).layer().unwrap().callback(move |_, _| (false, Some(aborting())));
    let error = script.read(&layer).await.unwrap_err();
    assert_eq!((error.message(), script.attempts()), ("aborting early", 1));
    let attempts = error.find::<Attempts>().unwrap();
    assert_eq!(attempts.to_string(), "aborting early (previously: no endpoints available)");
}

#[tokio::test(start_paused = true)]
async fn rt_6_a_callback_sees_the_error_itself_which_is_final() {
    let script = Script::failing(|| Error::new(Code::Unavailable, Mine));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = seen.clone();
    let layer = Retry::attempts(5).layer().unwrap().callback(move |number, error| {
        note.lock().unwrap().push((number, error.find::<Mine>().is_some()));
        (number < 2, None)
    });
    let error = script.read(&layer).await.unwrap_err();
    assert_eq!(*seen.lock().unwrap(), [(1, true), (2, true)]);
    assert_eq!((error.find::<Mine>(), script.attempts()), (Some(&Mine), 2));
}

#[tokio::test(start_paused = true)]
async fn rt_7_without_a_callback_a_success_is_one() {
    let (script, layer) = (Script::new([Step::Answer]), Retry::attempts(3).layer().unwrap());
    assert_eq!(script.read(&layer).await.unwrap(), 0);
}

/// Not one of Go kit's tests: an error that a callback gives is only taken if it was the last.
#[tokio::test(start_paused = true)]
async fn a_callbacks_error_counts_only_where_the_call_ends_and_can_force_nothing() {
    let instead = || (true, Some(Error::new(Code::Internal, "instead")));
    let layer = Retry::attempts(3).layer().unwrap().callback(move |_, _| instead());
    let script = two_errors();
    assert_eq!(script.read(&layer).await.unwrap(), 2);
    let script = Script::failing(no_endpoints);
    let error = script.read(&layer).await.unwrap_err();
    assert_eq!((error.code(), script.attempts()), (Code::Internal, 3));
    assert_eq!(error.find::<Attempts>().unwrap().earlier().len(), 3);
    let script = Script::failing(|| Error::of(Code::InvalidArgument));
    assert_eq!(script.read(&layer).await.unwrap_err().code(), Code::Internal);
    assert_eq!(script.attempts(), 1);
}
