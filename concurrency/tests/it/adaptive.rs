use crate::MILLI;
use purlin_concurrency::{AdaptiveLimit, ConcurrencyLimit, Handle};
use purlin_endpoint::{Code, Context, Endpoint as _, Error, Layer as _, Method, endpoint_fn};
use std::time::Duration;
use tokio::{task::JoinSet, time::sleep};

/// So many callers who call again as soon as they are answered, for ten seconds, and what the limit
/// is then.
async fn after_ten_seconds(
    config: ConcurrencyLimit,
    callers: u32,
    timeout: Duration,
    answer: fn() -> (Duration, Result<(), Error>),
) -> u32 {
    let layer = config.layer().unwrap();
    let handle: Handle = layer.handle();
    let service = layer.layer(endpoint_fn(move |_: Context, ()| async move {
        let (took, outcome) = answer();
        sleep(took).await;
        outcome
    }));
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let service = service.clone();
        tasks.spawn(async move {
            loop {
                // The caller's patience is a little longer than the deadline that it sends.
                let context = Context::new().with_timeout(timeout);
                let call = service.invoke(context, ());
                if !matches!(tokio::time::timeout(timeout + MILLI, call).await, Ok(Ok(()))) {
                    sleep(10 * MILLI).await;
                }
            }
        });
    }
    sleep(Duration::from_secs(10)).await;
    tasks.abort_all();
    while tasks.join_next().await.is_some() {}
    assert_eq!(handle.in_flight(), 0);
    handle.limit()
}

fn quick() -> (Duration, Result<(), Error>) {
    (10 * MILLI, Ok(()))
}

fn failing<const CODE: u8>() -> (Duration, Result<(), Error>) {
    (10 * MILLI, Err(Error::of(Code::from_number(CODE.into()))))
}

fn hanging() -> (Duration, Result<(), Error>) {
    (Duration::from_secs(60), Ok(()))
}

fn aimd() -> ConcurrencyLimit {
    ConcurrencyLimit::new(AdaptiveLimit::aimd().min(1))
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_limit_in_use_grows_and_one_that_is_not_stays() {
    assert!(after_ten_seconds(aimd(), 100, SECOND, quick).await > 100);
    assert_eq!(after_ten_seconds(aimd(), 9, SECOND, quick).await, 20);
}

#[tokio::test(start_paused = true)]
async fn what_says_overload_shrinks_the_limit_and_other_errors_do_not_count() {
    const DEADLINE: u8 = Code::DeadlineExceeded.number();
    const EXHAUSTED: u8 = Code::ResourceExhausted.number();
    const UNAVAILABLE: u8 = Code::Unavailable.number();
    for failing in [failing::<DEADLINE>, failing::<EXHAUSTED>, failing::<UNAVAILABLE>] {
        assert_eq!(after_ten_seconds(aimd(), 40, SECOND, failing).await, 1);
    }
    const NOT_FOUND: u8 = Code::NotFound.number();
    const INTERNAL: u8 = Code::Internal.number();
    for failing in [failing::<NOT_FOUND>, failing::<INTERNAL>] {
        assert_eq!(after_ten_seconds(aimd(), 40, SECOND, failing).await, 20);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_given_up_after_its_deadline_counts_and_one_cancelled_before_does_not() {
    assert!(after_ten_seconds(aimd(), 40, 50 * MILLI, hanging).await < 5);
    let layer = aimd().layer().unwrap();
    let stuck =
        layer.layer(endpoint_fn(|_: Context, ()| std::future::pending::<Result<(), Error>>()));
    for _ in 0..1000 {
        let call = stuck.invoke(Context::new().with_timeout(SECOND), ());
        assert!(tokio::time::timeout(MILLI, call).await.is_err());
    }
    assert_eq!(layer.handle().limit(), 20);
}

#[tokio::test(start_paused = true)]
async fn time_in_the_queue_is_no_latency() {
    // Ten run and thirty wait, each for 30 ms; were that latency, it would count as slow.
    let limit = AdaptiveLimit::aimd().min(1).initial(10).max(10).slow(20 * MILLI);
    let config = ConcurrencyLimit::new(limit).queue(100);
    assert_eq!(after_ten_seconds(config, 40, SECOND, quick).await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_well_is_no_sample_and_one_that_breaks_off_for_load_is() {
    use purlin_endpoint::{Call as _, Request, Service as _};
    static STREAM: Method = Method::server_streaming("a.B", "C");
    for (code, limit) in [(Code::Ok, 20), (Code::Aborted, 20), (Code::Unavailable, 18)] {
        let layer = aimd().layer().unwrap();
        let mut service = layer.layer(endpoint_fn(|_: Context, ()| async { Ok::<_, Error>(()) }));
        for _ in 0..12 {
            let mut request = Request::new(Context::new().with_method(&STREAM), ());
            let ending = request.open_end().unwrap();
            std::future::poll_fn(|task| service.poll_ready(task)).await.unwrap();
            service.call(request).await.unwrap();
            tokio::time::advance(10 * MILLI).await;
            let error = Error::of(code);
            ending.finish(if code == Code::Ok { Ok(()) } else { Err(&error) });
        }
        assert_eq!(layer.handle().limit(), limit, "{code}");
    }
}
