use crate::{ACTIVE, DURATION, GREETING, counted, measured, series};
use futures_util::FutureExt as _;
use purlin_endpoint::{
    Call as _, CatchPanicLayer, Code, Context, Endpoint as _, Error, Layer as _, Method, Request,
    Service as _, SpanId, Streaming, Trace, TraceId, Verdict, endpoint_fn,
};
use purlin_metrics::{MetricsLayer, Registry, Value};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tower::{ServiceBuilder, ServiceExt as _};

static GREET_MANY: Method = Method::server_streaming("greeter.Greeter", "GreetMany");

const METHOD: &str = "rpc.method=greeter.Greeter/Greeting";

#[tokio::test(start_paused = true)]
async fn a_call_is_counted_by_method_and_code_with_how_long_it_took() {
    let registry = Registry::new();
    let greet = measured(MetricsLayer::new(registry.clone()));
    for millis in [0, 1, 250, 500, 500] {
        let _ = greet.invoke(Context::new(), millis).await;
    }
    let system = "rpc.system.name=purlin";
    assert_eq!(
        counted(&registry, DURATION),
        [
            (format!("{METHOD},rpc.response.status_code=INVALID_ARGUMENT,{system}"), 1, 0.0),
            (
                format!("error.type=INTERNAL,{METHOD},rpc.response.status_code=INTERNAL,{system}"),
                1,
                0.001
            ),
            (format!("{METHOD},rpc.response.status_code=OK,{system}"), 3, 1.25),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn around_a_client_every_code_but_ok_is_an_error() {
    let registry = Registry::new();
    let greet = measured(MetricsLayer::new(registry.clone()).client().system("grpc"));
    greet.invoke(Context::new(), 0).await.unwrap_err();
    let [(labels, ..)] = &counted(&registry, "rpc.client.call.duration")[..] else { panic!() };
    assert_eq!(
        *labels,
        format!(
            "error.type=INVALID_ARGUMENT,{METHOD},rpc.response.status_code=INVALID_ARGUMENT,\
             rpc.system.name=grpc"
        )
    );
    assert_eq!(series(&registry.snapshot(), "rpc.client.active_requests")[0].1, Value::Number(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_in_flight_until_it_ends_or_is_given_up() {
    let registry = Registry::new();
    let greet = measured(MetricsLayer::new(registry.clone()));
    let active = || series(&registry.snapshot(), ACTIVE)[0].1.clone();
    let (one, other) = (greet.invoke(Context::new(), 10), greet.invoke(Context::new(), 9999));
    let (mut one, mut other) = (Box::new(one.boxed()), Box::new(other.boxed()));
    assert!((&mut one).now_or_never().is_none() && (&mut other).now_or_never().is_none());
    assert_eq!(active(), Value::Number(2.0));
    one.await.unwrap();
    assert_eq!(active(), Value::Number(1.0));
    drop(other);
    assert_eq!(active(), Value::Number(0.0));
    assert!(counted(&registry, DURATION)[1].0.contains("CANCELLED"));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_late_has_exceeded_its_deadline() {
    let registry = Registry::new();
    let greet = measured(MetricsLayer::new(registry.clone()));
    let context = Context::new().with_timeout(Duration::from_millis(5));
    timeout(Duration::from_millis(7), greet.invoke(context, 9999)).await.unwrap_err();
    let counted = counted(&registry, DURATION);
    assert!(counted[0].0.starts_with("error.type=DEADLINE_EXCEEDED"), "{counted:?}");
    assert_eq!((counted[0].1, counted[0].2), (1, 0.007));
}

#[tokio::test]
async fn a_panic_is_an_internal_error() {
    let registry = Registry::new();
    let panics = ServiceBuilder::new()
        .layer(CatchPanicLayer::new())
        .layer(MetricsLayer::new(registry.clone()))
        .service(endpoint_fn(|_: Context, ()| async { panic!("on purpose") as Result<(), Error> }));
    panics.invoke(Context::new(), ()).await.unwrap_err();
    let [(labels, 1, _)] = &counted(&registry, DURATION)[..] else { panic!() };
    assert!(labels.starts_with("error.type=INTERNAL,rpc.method=_OTHER"), "{labels}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_business_is_an_error_whose_code_says_nothing() {
    let registry = Registry::new();
    let judge = |outcome: &Result<u64, Error>| match outcome {
        Ok(250) => Verdict { code: Code::Ok, failed: true },
        _ => Verdict::OK,
    };
    let greet = measured(MetricsLayer::new(registry.clone()).classify(judge));
    for millis in [250, 500] {
        greet.invoke(Context::new(), millis).await.unwrap();
    }
    let labels: Vec<_> =
        counted(&registry, DURATION).into_iter().map(|(labels, ..)| labels).collect();
    let ok = format!("{METHOD},rpc.response.status_code=OK,rpc.system.name=purlin");
    assert_eq!(labels, [format!("error.type=_OTHER,{ok}"), ok]);
}

/// A stream of a thousand messages over two seconds, as its transport makes it.
fn streaming(
    registry: &Registry,
) -> impl tower::Service<Request<bool>, Response = Streaming<u32>, Error = Error> + use<> {
    let inner = tower::service_fn(|mut request: Request<bool>| async move {
        let (ending, breaks) = (request.claim_end(), request.message);
        let messages = futures_util::stream::unfold(0, move |n| async move {
            sleep(Duration::from_millis(2)).await;
            match n {
                1000 if breaks => Some((Err(Error::of(Code::Unavailable)), n + 1)),
                1000.. => None,
                n => Some((Ok(n), n + 1)),
            }
        });
        Ok::<_, Error>(Streaming::new(messages).ending(ending))
    });
    MetricsLayer::new(registry.clone()).layer(inner)
}

fn request(breaks: bool) -> Request<bool> {
    let mut request = Request::new(Context::new(), breaks);
    request.name_method(&GREET_MANY);
    request
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_one_duration_when_it_has_ended() {
    for (breaks, code) in [(false, "OK"), (true, "UNAVAILABLE")] {
        let registry = Registry::new();
        let mut many = streaming(&registry);
        let mut stream = many.ready().await.unwrap().call(request(breaks)).await.unwrap();
        for _ in 0..1000 {
            stream.message().await.unwrap().unwrap();
        }
        assert_eq!(counted(&registry, DURATION), [], "the stream goes on");
        assert_eq!(series(&registry.snapshot(), ACTIVE)[0].1, Value::Number(1.0));
        assert_eq!(stream.message().await.is_err(), breaks);
        let [(labels, 1, 2.002)] = &counted(&registry, DURATION)[..] else { panic!() };
        assert!(labels.contains(&format!("rpc.response.status_code={code}")), "{labels}");
        assert_eq!(series(&registry.snapshot(), ACTIVE)[0].1, Value::Number(0.0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_its_reader_leaves_is_one_duration_too() {
    let registry = Registry::new();
    let mut many = streaming(&registry);
    let mut stream = many.ready().await.unwrap().call(request(false)).await.unwrap();
    for _ in 0..1000 {
        stream.message().await.unwrap().unwrap();
    }
    drop(stream);
    let [(labels, 1, 2.0)] = &counted(&registry, DURATION)[..] else { panic!() };
    assert!(labels.contains("rpc.response.status_code=CANCELLED"), "{labels}");
}

#[tokio::test(start_paused = true)]
async fn a_sampled_call_is_the_exemplar_of_its_bucket_and_another_is_not() {
    let registry = Registry::new();
    let greet = measured(MetricsLayer::new(registry.clone()));
    let trace = Trace::new(TraceId::new(7).unwrap(), SpanId::new(8).unwrap());
    greet.invoke(Context::new().with_trace(trace.clone()), 20).await.unwrap();
    let exemplars = || {
        let Value::Histogram(counted) = series(&registry.snapshot(), DURATION).remove(0).1 else {
            panic!()
        };
        counted.buckets.iter().filter_map(|bucket| bucket.exemplar).collect::<Vec<_>>()
    };
    assert_eq!(exemplars(), []);
    greet.invoke(Context::new().with_trace(trace.sampled(true)), 20).await.unwrap();
    let [exemplar] = exemplars()[..] else { panic!() };
    assert_eq!((exemplar.trace.get(), exemplar.span.get(), exemplar.value), (7, 8, 0.02));
}

#[tokio::test(start_paused = true)]
async fn any_other_recorder_gets_the_same_and_the_handle_still_shows_it() {
    // Behind another type, a registry is a recorder like any other.
    let registry = Registry::new();
    let layer = MetricsLayer::new(purlin_metrics::Fanout::new().and(registry.clone()));
    let handle = layer.handle();
    let greet = measured(layer);
    greet.invoke(Context::new(), 250).await.unwrap();
    let [(labels, 1, 0.25)] = &counted(&registry, DURATION)[..] else { panic!() };
    assert_eq!(*labels, format!("{METHOD},rpc.response.status_code=OK,rpc.system.name=purlin"));
    assert_eq!(series(&registry.snapshot(), ACTIVE)[0].1, Value::Number(0.0));
    assert_eq!(
        registry.snapshot().family(DURATION).map(|family| family.unit.to_string()),
        Some("s".into())
    );
    assert!(purlin_endpoint::Inspect::snapshot(&handle).contains("\"calls\":1"));
}

#[tokio::test(start_paused = true)]
async fn the_global_recorder_is_used_where_that_was_chosen() {
    let registry = Registry::new();
    let _local = metrics::set_default_local_recorder(&registry);
    measured(MetricsLayer::global()).invoke(Context::new(), 250).await.unwrap();
    assert_eq!(counted(&registry, DURATION).len(), 1);
    assert_eq!(GREETING.to_string(), "greeter.Greeter/Greeting");
}
