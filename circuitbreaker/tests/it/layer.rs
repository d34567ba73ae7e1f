use crate::{Do, Obedient, SECOND, code, request};
use purlin_circuitbreaker::{CircuitBreaker, CircuitBreakerLayer, Open, State};
use purlin_endpoint::{
    Backoff, BoxError, ByStatus, Call as _, Code, Context, Error, Layer as _, Request,
    Service as _, Verdict, catch_panic,
};
use std::{
    convert::Infallible,
    future::Future as _,
    task::{self, Waker},
    time::Duration,
};
use tower::ServiceExt as _;

/// Opens at the first failure, for a second, and closes after two successes.
fn brittle() -> CircuitBreaker {
    CircuitBreaker::new()
        .consecutive_failures(1)
        .half_open_calls(2)
        .open_for(Backoff::new(SECOND).multiplier(2.0).jitter(0.0))
}

fn state(layer: &CircuitBreakerLayer) -> State {
    layer.handle().status()[0].state
}

async fn opened() -> (CircuitBreakerLayer, impl ObedientService) {
    let layer = brittle().layer().unwrap();
    let mut service = layer.layer(Obedient);
    assert_eq!(code(&mut service, Do::Fail(Code::Internal)).await, Code::Internal);
    assert_eq!(state(&layer), State::Open);
    (layer, service)
}

async fn half_open() -> (CircuitBreakerLayer, impl ObedientService) {
    let opened = opened().await;
    tokio::time::advance(SECOND).await;
    opened
}

trait ObedientService:
    tower::Service<Request<Do>, Response = (), Error = Error, Future: Unpin + Send> + Clone
{
}

impl<S> ObedientService for S where
    S: tower::Service<Request<Do>, Response = (), Error = Error, Future: Unpin + Send> + Clone
{
}

/// Begins a call, and polls it once.
fn begin<S: ObedientService>(service: &mut S, what: Do) -> S::Future {
    let mut call = service.call(request(what));
    let polled = std::pin::Pin::new(&mut call).poll(&mut task::Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "it was not let in: {polled:?}");
    call
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_refuses_calls_and_says_for_how_long() {
    let (_, mut service) = opened().await;
    tokio::time::advance(SECOND / 4).await;
    let refused = service.call(request(Do::Answer)).await.unwrap_err();
    let left = SECOND * 3 / 4;
    assert_eq!((refused.code(), refused.is_unreached()), (Code::Unavailable, true));
    assert_eq!(refused.find::<Open>(), Some(&Open { retry_after: left }));
    assert_eq!(refused.retry_delay(), Some(left));
    // Who waits as long as was said is let in.
    tokio::time::advance(left).await;
    assert_eq!(code(&mut service, Do::Answer).await, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_half_open_breaker_lets_so_many_in_and_closes_when_they_succeed() {
    let (layer, mut service) = half_open().await;
    let first = begin(&mut service, Do::Take(SECOND));
    let second = begin(&mut service, Do::Take(SECOND));
    assert_eq!(state(&layer), State::HalfOpen);
    let refused = service.call(request(Do::Answer)).await.unwrap_err();
    assert_eq!(refused.retry_delay(), Some(SECOND));
    first.await.unwrap();
    assert_eq!(state(&layer), State::HalfOpen);
    second.await.unwrap();
    assert_eq!(state(&layer), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn it_stays_open_for_longer_each_time_until_it_has_been_closed() {
    let (_, mut service) = opened().await;
    for wait in [1, 2, 4] {
        let refused = service.call(request(Do::Answer)).await.unwrap_err();
        assert_eq!(refused.retry_delay(), Some(wait * SECOND));
        tokio::time::advance(wait * SECOND).await;
        assert_eq!(code(&mut service, Do::Fail(Code::Unknown)).await, Code::Unknown);
    }
    tokio::time::advance(8 * SECOND).await;
    for _ in 0..2 {
        assert_eq!(code(&mut service, Do::Answer).await, Code::Ok);
    }
    assert_eq!(code(&mut service, Do::Fail(Code::Unknown)).await, Code::Unknown);
    let refused = service.call(request(Do::Answer)).await.unwrap_err();
    assert_eq!(refused.retry_delay(), Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn only_the_servers_faults_count_as_failures() {
    let layer = brittle().calls(1000).minimum_calls(1000).layer().unwrap();
    let mut service = layer.layer(Obedient);
    let status = |layer: &CircuitBreakerLayer| {
        let status = &layer.handle().status()[0];
        (status.calls, status.failed)
    };
    for wanted in Code::ALL.into_iter().filter(|code| *code != Code::Ok) {
        let (calls, failed) = status(&layer);
        assert_eq!(code(&mut service, Do::Fail(wanted)).await, wanted);
        let (is_fault, opened) = (wanted.is_fault(), state(&layer) == State::Open);
        assert_eq!(opened, is_fault, "{wanted}");
        if opened {
            layer.handle().force(purlin_circuitbreaker::Forced::Closed);
            layer.handle().release();
            continue;
        }
        let counts = !matches!(wanted, Code::ResourceExhausted | Code::Cancelled);
        assert_eq!(status(&layer), (calls + u32::from(counts), failed), "{wanted}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_that_counts_as_nothing_gives_its_permit_back() {
    let (layer, mut service) = half_open().await;
    for _ in 0..10 {
        let wanted = Code::ResourceExhausted;
        assert_eq!(code(&mut service, Do::Fail(wanted)).await, wanted);
        drop(begin(&mut service, Do::Hang));
        // Never polled at all.
        drop(service.call(request(Do::Answer)));
    }
    assert_eq!(layer.handle().status()[0].probing, 0);
    for _ in 0..2 {
        assert_eq!(code(&mut service, Do::Answer).await, Code::Ok);
    }
    assert_eq!(state(&layer), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_and_a_drop_is_not() {
    let layer = brittle().layer().unwrap();
    let mut service = layer.layer(Obedient);
    drop(begin(&mut service, Do::Hang));
    assert_eq!(state(&layer), State::Closed);
    let panicked = catch_panic(|| begin(&mut service, Do::Panic));
    assert!(panicked.is_err());
    assert_eq!(state(&layer), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_result_of_an_earlier_state_does_not_count() {
    let layer = brittle().layer().unwrap();
    let mut service = layer.layer(Obedient);
    let late = begin(&mut service, Do::Take(2 * SECOND));
    let panics = service.call(request(Do::Panic));
    assert_eq!(code(&mut service, Do::Fail(Code::Internal)).await, Code::Internal);
    tokio::time::advance(SECOND).await;
    let probe = begin(&mut service, Do::Take(5 * SECOND));
    late.await.unwrap();
    assert!(catch_panic(|| begin_panicking(panics)).is_err());
    let status = &layer.handle().status()[0];
    assert_eq!((status.state, status.calls, status.probing), (State::HalfOpen, 0, 1));
    probe.await.unwrap();
    assert_eq!(layer.handle().status()[0].calls, 1);
}

fn begin_panicking(mut call: impl Future<Output = Result<(), Error>> + Unpin) {
    let task = &mut task::Context::from_waker(Waker::noop());
    let _ = std::pin::Pin::new(&mut call).poll(task);
}

#[tokio::test(start_paused = true)]
async fn calls_that_hang_hold_it_half_open_for_so_long_and_no_longer() {
    let (layer, mut service) = half_open().await;
    let _hang = [(); 2].map(|()| begin(&mut service, Do::Hang));
    tokio::time::advance(29 * SECOND).await;
    assert_eq!(code(&mut service, Do::Answer).await, Code::Unavailable);
    assert_eq!(state(&layer), State::HalfOpen);
    tokio::time::advance(SECOND).await;
    let refused = service.call(request(Do::Answer)).await.unwrap_err();
    assert_eq!((state(&layer), refused.retry_delay()), (State::Open, Some(2 * SECOND)));
    tokio::time::advance(2 * SECOND).await;
    assert_eq!(code(&mut service, Do::Answer).await, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn where_calls_are_rare_it_decides_by_the_results_that_it_has() {
    let (layer, mut service) = half_open().await;
    assert_eq!(code(&mut service, Do::Answer).await, Code::Ok);
    tokio::time::advance(30 * SECOND).await;
    assert_eq!(code(&mut service, Do::Answer).await, Code::Ok);
    assert_eq!(state(&layer), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn slow_calls_open_it_and_streams_are_never_slow() {
    let config = brittle().minimum_calls(4).slow_call(SECOND, 0.5);
    let layer = config.layer().unwrap();
    let mut service = layer.layer(Obedient);
    for _ in 0..4 {
        let mut stream = request(Do::Answer);
        let ending = stream.open_end();
        service.call(stream).await.unwrap();
        tokio::time::advance(60 * SECOND).await;
        ending.unwrap().finish(Ok(()));
    }
    let status = layer.handle().status().remove(0);
    assert_eq!((status.state, status.calls, status.slow), (State::Closed, 4, 0));
    for _ in 0..4 {
        // A second and no more is not slow.
        assert_eq!(state(&layer), State::Closed);
        assert_eq!(code(&mut service, Do::Take(SECOND)).await, Code::Ok);
        assert_eq!(code(&mut service, Do::Take(2 * SECOND)).await, Code::Ok);
    }
    assert_eq!(layer.handle().status()[0].slow, 4);
    // With four more, half of sixteen.
    for _ in 0..4 {
        assert_eq!(code(&mut service, Do::Take(2 * SECOND)).await, Code::Ok);
    }
    assert_eq!(state(&layer), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_stream_counts_as_what_it_ends_with() {
    let layer = brittle().layer().unwrap();
    let mut service = layer.layer(Obedient);
    let ends: [(&str, State); 4] = [
        ("ok", State::Closed),
        ("dropped", State::Closed),
        ("the caller's error", State::Closed),
        ("the server's error", State::Open),
    ];
    for (end, wanted) in ends {
        let mut stream = request(Do::Answer);
        let ending = stream.open_end().unwrap();
        service.call(stream).await.unwrap();
        assert_eq!(state(&layer), State::Closed);
        match end {
            "ok" => ending.finish(Ok(())),
            "dropped" => drop(ending),
            "the caller's error" => ending.finish(Err(&Error::of(Code::NotFound))),
            _ => ending.finish(Err(&Error::of(Code::Internal))),
        }
        assert_eq!(state(&layer), wanted, "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_error_type_of_any_service_stays_what_it_is() {
    let layer = brittle().layer().unwrap();
    let mut foreign = layer.layer(tower::service_fn(|_: http::Request<()>| async {
        Err::<(), BoxError>("lost".into())
    }));
    let lost: BoxError = foreign.ready().await.unwrap().call(http_request()).await.unwrap_err();
    assert_eq!(lost.to_string(), "lost");
    let open = foreign.ready().await.unwrap().call(http_request()).await.unwrap_err();
    assert_eq!(open.to_string(), "the circuit breaker is open, try again in 1s");

    let layer = brittle().layer().unwrap().classify(ByStatus).respond(|open: Open| {
        http::Response::builder().status(503).body(open.retry_after).unwrap()
    });
    let mut route = layer.layer(tower::service_fn(|_: http::Request<()>| async {
        Ok::<_, Infallible>(http::Response::builder().status(500).body(Duration::ZERO).unwrap())
    }));
    for (status, body) in [(500, Duration::ZERO), (503, SECOND)] {
        let response = route.ready().await.unwrap().call(http_request()).await.unwrap();
        assert_eq!((response.status().as_u16(), *response.body()), (status, body));
    }
}

fn http_request() -> http::Request<()> {
    http::Request::new(())
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_business_counts_where_the_classifier_says_so() {
    let classify = |outcome: &Result<&'static str, Error>| match outcome {
        Ok("no seats") => Verdict { code: Code::Ok, failed: true },
        _ => Verdict::OK,
    };
    let mut service =
        brittle().layer().unwrap().classify(classify).layer(purlin_endpoint::endpoint_fn(
            |_: Context, reply: &'static str| async move { Ok::<_, Error>(reply) },
        ));
    for reply in ["a seat", "no seats"] {
        assert!(service.call(Request::new(Context::new(), reply)).await.is_ok());
    }
    assert!(service.call(Request::new(Context::new(), "a seat")).await.is_err());
}
