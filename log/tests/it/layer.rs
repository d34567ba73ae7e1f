use crate::{NOON, Writes, noon};
use futures_util::future;
use purlin_endpoint::{
    BoxError, CatchPanicLayer, Code, Context, Endpoint, Error, Method, MethodLayer, Peer, Verdict,
    endpoint_fn,
};
use purlin_log::{Level, LogLayer, Logger};
use std::{convert::Infallible, future::Future, time::Duration};
use tokio::time::{Instant, sleep, timeout};
use tower::{ServiceBuilder, ServiceExt as _};

pub(crate) static GREETING: Method = Method::unary("greeter.Greeter", "Greeting").idempotent();
pub(crate) static GREET_MANY: Method = Method::server_streaming("greeter.Greeter", "GreetMany");

/// The endpoint with the layer around it, and what the layer has written.
pub(crate) fn logged<F, Fut, Res, Err>(
    method: &'static Method,
    function: F,
) -> (impl Endpoint<u32, Response = Res, Error = Err>, Writes)
where
    F: Fn(Context, u32) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Res, Err>> + Send + 'static,
    Res: Send + 'static,
    Err: std::fmt::Display + Send + 'static,
    purlin_endpoint::ByCode: purlin_endpoint::Classify<Res, Err>,
{
    let writes = Writes::default();
    let stack = ServiceBuilder::new()
        .layer(MethodLayer::new(method))
        .layer(LogLayer::new(Logger::logfmt(writes.clone()).clock(noon)))
        .service(endpoint_fn(function));
    (stack, writes)
}

/// The fields that the layer writes.
pub(crate) fn fields(writes: &Writes) -> String {
    let line = writes.line();
    line.split_once("level=").expect("a level").1.to_owned()
}

pub(crate) async fn millis(millis: u64) {
    sleep(Duration::from_millis(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_is_one_line_with_all_that_is_known_of_it() {
    let (greet, writes) = logged(&GREETING, |_, ms: u32| async move {
        millis(ms.into()).await;
        Ok::<_, Error>("Hello")
    });
    let context = Context::default()
        .with_peer(Peer::Tcp(([127, 0, 0, 1], 4711).into()))
        .with_request_id("abc-1".parse().unwrap())
        .with_attempt(2);
    greet.invoke(context, 12).await.unwrap();
    assert_eq!(
        fields(&writes),
        "info msg=call method=greeter.Greeter/Greeting code=OK took_ms=12.000 \
         peer=127.0.0.1:4711 request_id=abc-1 attempt=2"
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_server_is_to_blame_for_is_an_error_with_its_cause() {
    let (fail, writes) = logged(&GREETING, |_, _| {
        future::err::<(), _>(Error::internal(std::io::Error::other("disk 7\nis full")))
    });
    fail.invoke(Context::default(), 0).await.unwrap_err();
    assert_eq!(
        fields(&writes),
        "error msg=call method=greeter.Greeter/Greeting code=INTERNAL took_ms=0.000 \
         error=\"internal error\" cause=\"disk 7\\nis full\""
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_caller_is_to_blame_for_is_a_warning() {
    let (fail, writes) =
        logged(&GREETING, |_, _| future::err::<(), _>(Error::invalid("name", "is missing")));
    fail.invoke(Context::default(), 0).await.unwrap_err();
    assert!(fields(&writes).starts_with("warn msg=call"));
}

#[tokio::test(start_paused = true)]
async fn a_boxed_error_shows_the_causes_below_it() {
    #[derive(Debug)]
    struct Outer(std::io::Error);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("outer")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let (fail, writes) = logged(&GREETING, |_, _| {
        future::err::<(), BoxError>(Outer(std::io::Error::other("inner")).into())
    });
    fail.invoke(Context::default(), 0).await.unwrap_err();
    assert!(fields(&writes).ends_with("error=outer cause=inner"));

    let (fail, writes) = logged(&GREETING, |_, _| {
        future::err::<(), BoxError>(Error::new(Code::NotFound, "no such name").into())
    });
    fail.invoke(Context::default(), 0).await.unwrap_err();
    assert!(fields(&writes).ends_with("code=NOT_FOUND took_ms=0.000 error=\"no such name\""));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_is_cancelled_or_late() {
    let (greet, writes) = logged(&GREETING, |_, ms: u32| async move {
        millis(ms.into()).await;
        Ok::<_, Error>("Hello")
    });
    let limit = Duration::from_millis(5);
    timeout(limit, greet.invoke(Context::default(), 10)).await.unwrap_err();
    assert_eq!(
        fields(&writes),
        "info msg=call method=greeter.Greeter/Greeting code=CANCELLED took_ms=5.000"
    );

    // A timer of tokio's is late by up to a millisecond.
    let context = Context::default().with_deadline(Instant::now() + limit);
    timeout(limit, greet.invoke(context, 10)).await.unwrap_err();
    assert!(fields(&writes).starts_with(
        "error msg=call method=greeter.Greeter/Greeting code=DEADLINE_EXCEEDED took_ms="
    ));
}

#[tokio::test]
async fn a_panic_is_an_internal_error_that_says_so() {
    let writes = Writes::default();
    let greet = ServiceBuilder::new()
        .layer(CatchPanicLayer::new())
        .layer(LogLayer::new(Logger::logfmt(writes.clone()).clock(noon)))
        .service(endpoint_fn(|_: Context, n: u32| async move {
            assert!(n > 0, "the password is swordfish");
            Ok::<_, Error>(n)
        }));
    assert_eq!(greet.invoke(Context::default(), 0).await.unwrap_err().code(), Code::Internal);
    let line = fields(&writes);
    assert!(line.starts_with("error msg=call code=INTERNAL took_ms="), "{line}");
    assert!(line.ends_with("error=panicked"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn a_function_of_the_users_judges_any_outcome() {
    let writes = Writes::default();
    let layer = LogLayer::new(Logger::logfmt(writes.clone()).clock(noon)).classify(
        |outcome: &Result<u32, Infallible>| match outcome {
            Ok(0) => Verdict::of(Code::NotFound),
            _ => Verdict::OK,
        },
    );
    let greet = ServiceBuilder::new().layer(layer).service_fn(|request: http::Request<u32>| {
        let (_, message) = request.into_parts();
        future::ok::<_, Infallible>(message)
    });
    greet.oneshot(http::Request::new(0)).await.unwrap();
    assert_eq!(fields(&writes), "warn msg=call code=NOT_FOUND took_ms=0.000");
}

#[tokio::test(start_paused = true)]
async fn the_level_holds_for_calls_too() {
    let writes = Writes::default();
    let logger = Logger::logfmt(writes.clone()).level(Level::Warn);
    let greet = ServiceBuilder::new().layer(LogLayer::new(logger.clone())).service(endpoint_fn(
        |_: Context, n: u32| async move {
            match n {
                0 => Err(Error::of(Code::NotFound)),
                n => Ok(n),
            }
        },
    ));
    greet.invoke(Context::default(), 1).await.unwrap();
    assert!(writes.take().is_empty());
    greet.invoke(Context::default(), 0).await.unwrap_err();
    assert_eq!(writes.take().len(), 1);
    logger.set_level(Level::Info);
    greet.invoke(Context::default(), 1).await.unwrap();
    assert_eq!(writes.take().len(), 1);
}

#[test]
fn a_call_that_its_transport_refuses_has_its_line_and_others_have_no_second() {
    let writes = Writes::default();
    let layer = LogLayer::new(Logger::logfmt(writes.clone()).clock(noon));
    let uncalled = layer.uncalled();
    let context = Context::new().with_method(&GREETING);
    uncalled(&context, &Error::invalid("name", "is missing"));
    assert!(writes.take().is_empty());
    uncalled(&context, &Error::invalid("name", "is missing").uncalled());
    assert_eq!(
        writes.line(),
        format!(
            "ts={NOON} level=warn msg=call method=greeter.Greeter/Greeting code=INVALID_ARGUMENT \
             took_ms=0.000 error=\"name is missing\""
        )
    );
}
