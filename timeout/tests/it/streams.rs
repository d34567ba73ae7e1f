use purlin_endpoint::{
    Call as _, Context, Ending, Error, Layer as _, Method, Request, Service as _, Streaming,
    endpoint_fn,
};
use purlin_timeout::Timeout;
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// Calls a method that streams behind a limit of three seconds, as a server's transport does.
async fn call(
    mut request: Request<Result<Streaming<u32>, Error>>,
) -> (Option<Ending>, Result<Streaming<u32>, Error>) {
    let streams = endpoint_fn(async |_: Context, outcome: Result<Streaming<u32>, Error>| outcome);
    let ending = request.open_end();
    let outcome = Timeout::new(3 * SECOND).layer().unwrap().layer(streams).call(request).await;
    (ending, outcome)
}

fn stream() -> Request<Result<Streaming<u32>, Error>> {
    Request::new(Context::new(), Ok(Streaming::iter([Ok(1)])))
}

#[tokio::test(start_paused = true)]
async fn a_servers_transport_learns_by_when_a_stream_must_end() {
    let now = Instant::now();
    let (ending, outcome) = call(stream()).await;
    assert!(outcome.is_ok());
    let mut ending = ending.unwrap();
    assert_eq!(ending.deadline(), Some(now + 3 * SECOND));
    ending.scoped(|| ());
    assert_eq!(ending.deadline(), Some(now + 3 * SECOND), "it is known while the stream runs");
}

#[tokio::test(start_paused = true)]
async fn the_nearest_of_several_limits_holds() {
    let now = Instant::now();
    let limit = |seconds| Timeout::new(seconds * SECOND).layer().unwrap();
    let streams = endpoint_fn(async |_: Context, ()| Ok::<_, Error>(Streaming::iter([Ok(1)])));
    for [outer, inner] in [[2, 5], [5, 2]] {
        let mut request = Request::new(Context::new(), ());
        let ending = request.open_end().unwrap();
        let mut limited = limit(outer).layer(limit(inner).layer(streams));
        assert!(limited.call(request).await.is_ok());
        assert_eq!(ending.deadline(), Some(now + 2 * SECOND));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_limits_no_stream() {
    let mut request = stream();
    request.message = Err(Error::internal("no stream"));
    let (ending, outcome) = call(request).await;
    assert!(outcome.is_err());
    assert_eq!(ending.unwrap().deadline(), None, "the next attempt has a time of its own");
}

static TICKS: Method = Method::server_streaming("test.Test", "Ticks");
static TICK: Method = Method::unary("test.Test", "Tick");

#[tokio::test(start_paused = true)]
async fn a_call_without_a_stream_leaves_nothing_behind() {
    for (method, waits) in [(&TICKS, true), (&TICK, false)] {
        let mut request = Request::new(Context::new(), ());
        request.name_method(method);
        assert_eq!(request.claim_end().is_some(), waits);
    }
}
