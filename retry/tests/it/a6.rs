//! gRPC's [A6](https://github.com/grpc/proposal/blob/master/A6-client-retries.md), rule by rule, in
//! our words: what concerns a layer in a client.
//!
//! Where ours differs on purpose the rule says so. Left out are the service config's JSON, the
//! buffer of a stream's messages, and channels' statistics, which no layer has.

use crate::script::{MS, READ, Script, Seen, Step, WATCH, WRITE};
use purlin_endpoint::{Backoff, Code, Context, Error, Method};
use purlin_retry::{Attempts, Budget, Hedge, Retry, TimedOut};
use std::time::Duration;

/// What a call through `layer` comes to: its code, and when each attempt came.
struct Told {
    code: Code,
    times: Vec<u64>,
    seen: Vec<Seen>,
    outcome: Result<u32, Error>,
}

macro_rules! tell {
    ($layer:expr, $method:expr, $timeout:expr, [$($step:expr),* $(,)?]) => {{
        let script = Script::new([$($step),*]);
        let mut context = Context::new().with_method($method);
        let timeout: Option<Duration> = $timeout;
        if let Some(timeout) = timeout {
            context = context.with_timeout(timeout);
        }
        let outcome = script.run(&$layer, context).await;
        let code = outcome.as_ref().map_or_else(Error::code, |_| Code::Ok);
        assert_eq!(script.running(), 0, "no attempt outlives its call");
        Told { code, times: script.times(), seen: script.seen(), outcome }
    }};
}

fn fails(code: Code) -> Step {
    Step::Fail(Error::of(code))
}

fn unavailable() -> Step {
    fails(Code::Unavailable)
}

fn asks(delay: u64) -> Step {
    Step::Fail(Error::of(Code::Unavailable).retry_after(Duration::from_millis(delay)))
}

fn not_again() -> Step {
    Step::Fail(Error::of(Code::Unavailable).retryable(false))
}

/// 100, 200, 300, 300 ms, without jitter.
fn steady(attempts: u32) -> Retry {
    let backoff = Backoff::new(100 * MS).multiplier(2.0).longest(300 * MS).jitter(0.0);
    Retry::attempts(attempts).backoff(backoff)
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_and_capped() {
    // The first try counts as an attempt.
    let layer = steady(2).layer().unwrap();
    let told = tell!(layer, &READ, None, [unavailable(), unavailable()]);
    assert_eq!((told.code, told.times.len()), (Code::Unavailable, 2));
    let told = tell!(layer, &READ, None, [unavailable(), Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Ok, 2));
    // As many as configured, up to five.
    for attempts in 1..=5 {
        let layer = steady(attempts).layer().unwrap();
        let five = [(); 5].map(|()| unavailable());
        let [a, b, c, d, e] = five;
        let told = tell!(layer, &READ, None, [a, b, c, d, e]);
        assert_eq!(told.times.len(), attempts as usize);
    }
    // One or fewer is invalid there; here one is a retry that is switched off. More than five are
    // five there; here that is a mistake, lest somebody believe in ten.
    assert_eq!(Retry::attempts(0).layer().unwrap_err().field, "attempts");
    assert!(Retry::attempts(1).layer().is_ok());
    assert!(Retry::attempts(5).layer().is_ok());
    assert_eq!(Retry::attempts(6).layer().unwrap_err().field, "attempts");
    // Hedges: at least two, and five.
    assert_eq!(Hedge::after(MS).attempts(1).layer().unwrap_err().field, "attempts");
    assert!(Hedge::after(MS).attempts(5).layer().is_ok());
    assert_eq!(Hedge::after(MS).attempts(6).layer().unwrap_err().field, "attempts");
}

#[tokio::test(start_paused = true)]
async fn waits_grow_by_the_multiplier_to_the_longest() {
    let layer = steady(5).layer().unwrap();
    let [a, b, c, d, e] = [(); 5].map(|()| unavailable());
    let told = tell!(layer, &READ, None, [a, b, c, d, e]);
    assert_eq!(told.times, [0, 100, 300, 600, 900]);
    // Jitter moves each wait by up to a fifth.
    let layer = steady(3).backoff(Backoff::new(1_000 * MS).multiplier(1.0)).layer().unwrap();
    for _ in 0..100 {
        let told = tell!(layer, &READ, None, [unavailable(), unavailable(), unavailable()]);
        for pair in told.times.windows(2) {
            assert!((800..=1_201).contains(&(pair[1] - pair[0])), "{:?}", told.times);
        }
    }
    // A multiplier below one is invalid, and so is no number.
    for wrong in [0.0, -1.0, f64::NAN] {
        let retry = steady(3).backoff(Backoff::new(MS).multiplier(wrong));
        assert_eq!(retry.layer().unwrap_err().field, "multiplier");
    }
    // A first wait of nothing is invalid there. Here it is allowed: behind a balancer the next
    // attempt goes to another instance.
    let layer = steady(3).backoff(Backoff::new(Duration::ZERO)).layer().unwrap();
    let told = tell!(layer, &READ, None, [unavailable(), unavailable(), Step::Answer]);
    assert_eq!((told.code, told.times), (Code::Ok, vec![0, 0, 0]));
}

#[tokio::test(start_paused = true)]
async fn only_codes_that_may_be_retried_are() {
    let layer = steady(3).layer().unwrap();
    for code in Code::ALL.into_iter().filter(|code| *code != Code::Ok) {
        let told = tell!(layer, &READ, None, [fails(code), Step::Answer]);
        // There the list is configured; here the error says it, and by itself only UNAVAILABLE.
        let wanted = if code == Code::Unavailable { 2 } else { 1 };
        assert_eq!(told.times.len(), wanted, "{code}");
    }
    // Any code may be retried that says so.
    let aborted = Step::Fail(Error::of(Code::Aborted).retryable(true));
    let told = tell!(layer, &READ, None, [aborted, Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Ok, 2));
    // The first code that may not be retried is the outcome.
    let told = tell!(layer, &READ, None, [unavailable(), fails(Code::NotFound), Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::NotFound, 2));
}

#[tokio::test(start_paused = true)]
async fn pushback_is_followed_to_the_letter() {
    // Exactly so long, whatever the backoff's jitter is.
    let layer = Retry::attempts(5).layer().unwrap();
    let told = tell!(layer, &READ, None, [asks(1_234), asks(5), asks(0), Step::Answer]);
    assert_eq!((told.code, told.times), (Code::Ok, vec![0, 1_234, 1_239, 1_239]));
    // The backoff restarts after it.
    let layer = steady(5).layer().unwrap();
    let told = tell!(
        layer,
        &READ,
        None,
        [unavailable(), unavailable(), asks(7), unavailable(), Step::Answer]
    );
    assert_eq!(told.times, [0, 100, 300, 307, 407]);
    // Negative or unreadable (the transport reads both as "not retryable") ends the call.
    let told = tell!(layer, &READ, None, [not_again(), Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Unavailable, 1));
    let told = tell!(layer, &READ, None, [unavailable(), not_again(), Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Unavailable, 2));
    // Even where a delay was given too.
    let both = Error::of(Code::Unavailable).retry_after(5 * MS).retryable(false);
    let told = tell!(layer, &READ, None, [Step::Fail(both), Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Unavailable, 1));
    // It lifts neither the attempts' number nor the budget.
    let told = tell!(steady(2).layer().unwrap(), &READ, None, [asks(5), asks(5), Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Unavailable, 2));
    let none = steady(2).budget(Budget::ratio(0.0).floor(0)).layer().unwrap();
    let told = tell!(none, &READ, None, [asks(5), Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Unavailable, 1));
}

#[tokio::test(start_paused = true)]
async fn a_server_sees_the_number_of_attempts_before() {
    let layer = steady(4).layer().unwrap();
    let told =
        tell!(layer, &READ, None, [unavailable(), unavailable(), unavailable(), Step::Answer]);
    // Zero is not sent: the transports leave the header out.
    assert_eq!(told.seen.iter().map(|seen| seen.attempt).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let hedge = Hedge::after(10 * MS).attempts(3).layer().unwrap();
    let late = || Step::After(100 * MS, Ok(()));
    let told = tell!(hedge, &READ, None, [late(), late(), late()]);
    assert_eq!(told.seen.iter().map(|seen| seen.attempt).collect::<Vec<_>>(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_has_begun_commits_the_call() {
    // The head of a stream is a success: what breaks off later is its reader's affair.
    let layer = steady(3).layer().unwrap();
    let told = tell!(layer, &WATCH, None, [Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Ok, 1));
    // Before its head a stream is a call like any other.
    let told = tell!(layer, &WATCH, None, [unavailable(), Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Ok, 2));
    let hedge = Hedge::after(10 * MS).layer().unwrap();
    let told = tell!(hedge, &WATCH, None, [Step::After(9 * MS, Ok(()))]);
    assert_eq!((told.code, told.times.len()), (Code::Ok, 1));
}

#[tokio::test(start_paused = true)]
async fn what_never_reached_a_handler_may_always_be_sent_again() {
    // There the channel does it, without counting and without end where the request never left the
    // client. Here the transport below may; a layer counts it, and pays for it from the budget, or
    // a server that is down would be asked in a tight loop.
    let unreached = || Step::Fail(Error::of(Code::Unavailable).unreached());
    let layer = steady(3).layer().unwrap();
    let told = tell!(layer, &WRITE, None, [unreached(), unreached(), Step::Answer]);
    assert_eq!((told.code, told.times), (Code::Ok, vec![0, 100, 300]));
    let told = tell!(layer, &WRITE, None, [unreached(), unreached(), unreached(), Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Unavailable, 3));
    let told = tell!(layer, &WRITE, None, [unreached(), unavailable(), Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Unavailable, 2));
    // Not what was refused for good, even if it did not reach one either.
    let refused = Step::Fail(Error::of(Code::Unauthenticated).unreached());
    let told = tell!(layer, &WRITE, None, [refused, Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Unauthenticated, 1));
    // Nor what certainly or possibly did.
    let told = tell!(layer, &WRITE, None, [unavailable(), Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Unavailable, 1));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_spans_all_attempts() {
    let layer = steady(5).layer().unwrap();
    let told = tell!(layer, &READ, Some(350 * MS), [unavailable(), unavailable(), Step::Never]);
    assert_eq!((told.code, told.times), (Code::DeadlineExceeded, vec![0, 100, 300]));
    // Each attempt is told what is left.
    let left: Vec<_> = told.seen.iter().map(|seen| seen.left).collect();
    assert_eq!(left, [Some(350), Some(250), Some(50)]);
    assert_eq!(told.outcome.unwrap_err().find::<Attempts>().unwrap().earlier().len(), 2);
    // A wait that would outlast it is not begun: the failure itself is the outcome, at once.
    for step in [unavailable(), asks(100)] {
        let told = tell!(layer, &READ, Some(100 * MS), [step, Step::Answer]);
        assert_eq!((told.code, told.times.len()), (Code::Unavailable, 1));
    }
    let told = tell!(layer, &READ, Some(101 * MS), [asks(100), Step::Answer]);
    assert_eq!((told.code, told.times), (Code::Ok, vec![0, 100]));
    // An attempt's own time is the nearer one, and another attempt may follow.
    let layer = steady(3).attempt_timeout(50 * MS).layer().unwrap();
    let told = tell!(layer, &READ, Some(230 * MS), [Step::Never, Step::Never, Step::Answer]);
    assert_eq!((told.code, told.times), (Code::DeadlineExceeded, vec![0, 150]));
    let left: Vec<_> = told.seen.iter().map(|seen| seen.left).collect();
    assert_eq!(left, [Some(50), Some(50)]);
    let error = told.outcome.unwrap_err();
    assert_eq!(error.find::<TimedOut>(), Some(&TimedOut { after: 50 * MS, attempt: true }));
    let told = tell!(layer, &READ, Some(180 * MS), [Step::Never, Step::Never, Step::Answer]);
    assert_eq!(told.seen[1].left, Some(30));
    let timed_out = TimedOut { after: 30 * MS, attempt: false };
    assert_eq!(told.outcome.unwrap_err().find::<TimedOut>(), Some(&timed_out));
    assert_eq!(
        steady(3).attempt_timeout(Duration::ZERO).layer().unwrap_err().field,
        "attempt_timeout"
    );
}

#[tokio::test(start_paused = true)]
async fn hedges_go_out_one_delay_after_the_other() {
    let layer = Hedge::after(100 * MS).attempts(4).layer().unwrap();
    let never = || Step::Never;
    let told =
        tell!(layer, &READ, None, [never(), never(), never(), Step::After(100 * MS, Ok(()))]);
    assert_eq!((told.code, told.times), (Code::Ok, vec![0, 100, 200, 300]));
    assert_eq!(told.outcome.unwrap(), 3);
    // A delay of nothing sends all of them at once.
    let layer = Hedge::after(Duration::ZERO).attempts(3).layer().unwrap();
    let told = tell!(layer, &READ, None, [never(), never(), Step::After(10 * MS, Ok(()))]);
    assert_eq!(told.times, [0, 0, 0]);
    // No more than that, however long it takes.
    let layer = Hedge::after(10 * MS).layer().unwrap();
    let told = tell!(layer, &READ, Some(500 * MS), [never(), never()]);
    assert_eq!((told.code, told.times), (Code::DeadlineExceeded, vec![0, 10]));
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_that_counts_ends_a_hedged_call() {
    let ample = Budget::default().floor(100);
    let layer = Hedge::after(100 * MS).attempts(3).budget(ample).layer().unwrap();
    let (never, answer) = (|| Step::Never, |after: u64| Step::After(MS * after as u32, Ok(())));
    // A success cancels the others.
    let told = tell!(layer, &READ, None, [answer(150), answer(150), never()]);
    assert_eq!((told.outcome.unwrap(), told.times), (0, vec![0, 100]));
    let told = tell!(layer, &READ, None, [never(), answer(50), never()]);
    assert_eq!((told.outcome.unwrap(), told.times), (1, vec![0, 100]));
    // So does a failure that no other attempt may help.
    let fatal = Step::After(50 * MS, Err(Error::of(Code::InvalidArgument)));
    let told = tell!(layer, &READ, None, [never(), fatal, never()]);
    assert_eq!((told.code, told.times), (Code::InvalidArgument, vec![0, 100]));
    // One that may be helped sends the next at once, and the delay counts from there.
    let told = tell!(layer, &READ, None, [unavailable(), never(), answer(10)]);
    assert_eq!((told.outcome.unwrap(), told.times), (2, vec![0, 0, 100]));
    let told = tell!(layer, &READ, None, [never(), unavailable(), answer(10)]);
    assert_eq!((told.outcome.unwrap(), told.times), (2, vec![0, 100, 100]));
    // When all have failed, the last one's failure is the outcome, with the others in it.
    let told = tell!(layer, &READ, None, [unavailable(), unavailable(), unavailable()]);
    assert_eq!((told.code, told.times), (Code::Unavailable, vec![0, 0, 0]));
    assert_eq!(told.outcome.unwrap_err().find::<Attempts>().unwrap().earlier().len(), 2);
    // One that has failed does not end those that still run.
    let told = tell!(layer, &READ, None, [answer(500), unavailable(), unavailable()]);
    assert_eq!((told.outcome.unwrap(), told.times), (0, vec![0, 100, 100]));
}

#[tokio::test(start_paused = true)]
async fn pushback_holds_hedges_back() {
    let layer = Hedge::after(100 * MS).attempts(3).layer().unwrap();
    let answer = |after: u32| Step::After(MS * after, Ok(()));
    // A delay moves the next hedge, and the ones after it go on from there.
    let told = tell!(layer, &READ, None, [asks(250), Step::Never, answer(10)]);
    assert_eq!((told.code, told.times), (Code::Ok, vec![0, 250, 350]));
    // Not again: no further hedge, but one that runs may still succeed.
    let told = tell!(layer, &READ, None, [answer(500), not_again(), Step::Answer]);
    assert_eq!((told.outcome.unwrap(), told.times), (0, vec![0, 100]));
    let told = tell!(layer, &READ, None, [not_again(), Step::Answer]);
    assert_eq!((told.code, told.times), (Code::Unavailable, vec![0]));
    // A delay past the deadline ends the call, if nothing else runs.
    let told = tell!(layer, &READ, Some(200 * MS), [asks(250), Step::Answer]);
    assert_eq!((told.code, told.times), (Code::Unavailable, vec![0]));
}

#[tokio::test(start_paused = true)]
async fn only_what_may_run_twice_is_hedged() {
    let layer = Hedge::after(MS).layer().unwrap();
    static UNNAMED: Method = Method::unary("test.Store", "Unnamed");
    for method in [&WRITE, &UNNAMED] {
        let told = tell!(layer, method, None, [Step::After(100 * MS, Ok(()))]);
        assert_eq!((told.code, told.times), (Code::Ok, vec![0]));
    }
    // Not even one that never reached a handler, which a retry would send again.
    let unreached = Step::Fail(Error::of(Code::Unavailable).unreached());
    let told = tell!(layer, &WRITE, None, [unreached]);
    assert_eq!((told.code, told.times.len()), (Code::Unavailable, 1));
}

#[tokio::test(start_paused = true)]
async fn throttling_stops_retries_and_hedges_and_never_first_attempts() {
    // There failures take tokens and successes give them back; here all calls of ten seconds give
    // a share, which bounds the load on a server in numbers. In both, first attempts go on.
    let purse = Budget::ratio(0.5).floor(0).purse().unwrap();
    let retry = steady(2).layer_on(&purse).unwrap();
    let hedge = Hedge::after(10 * MS).layer_on(&purse).unwrap();
    // Half a retry is none.
    let told = tell!(retry, &READ, None, [unavailable(), Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Unavailable, 1));
    // Two calls are worth one, for a retry…
    let told = tell!(retry, &READ, None, [unavailable(), Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Ok, 2));
    let told = tell!(retry, &READ, None, [unavailable(), Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Unavailable, 1));
    // …or a hedge.
    let told = tell!(hedge, &READ, None, [Step::Never, Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Ok, 2));
    let told = tell!(hedge, &READ, None, [Step::After(50 * MS, Ok(())), Step::Answer]);
    assert_eq!((told.code, told.times.len()), (Code::Ok, 1));
    assert_eq!(retry.handle().refused() + hedge.handle().refused(), 3);
    // The share: 0 to 1 (there the tokens per success: more than 0).
    for (ratio, valid) in [(0.0, true), (0.123, true), (1.0, true), (1.1, false), (-0.1, false)] {
        assert_eq!(Budget::ratio(ratio).purse().is_ok(), valid, "{ratio}");
        assert_eq!(steady(2).budget(Budget::ratio(ratio)).layer().is_ok(), valid, "{ratio}");
    }
}
