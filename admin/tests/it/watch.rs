use crate::{GREETING, admin, state};
use purlin_admin::{Watch, WatchLayer};
use purlin_endpoint::{
    Attempts, Code, Context, Endpoint as _, Error, Method, Peer, SpanId, Streaming, Trace, TraceId,
    conformance, endpoint_fn,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;
use tower::ServiceBuilder;

async fn seen(watch: &WatchLayer) -> Value {
    state(&admin().watch(watch.handle()).service()).await
}

#[tokio::test]
async fn the_layer_keeps_the_rules_of_all_layers() {
    conformance::check(|| Watch::new().layer().unwrap()).await;
    conformance::check(|| Watch::new().per_second(0).layer().unwrap()).await;
    conformance::check_held(
        || Watch::new().layer().unwrap(),
        |layer| layer.handle().in_flight().try_into().unwrap(),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_is_shown_with_its_way_through_the_layers() {
    let watch = Watch::new().layer().unwrap();
    let greet = ServiceBuilder::new().layer(watch.clone()).service(endpoint_fn(
        |context: Context, name: String| async move {
            let within = context.notes().enter(|| "balancer");
            sleep(Duration::from_millis(2)).await;
            context.notes().say("balancer", || "picked 10.0.0.7".to_owned());
            context.notes().attempted();
            drop(within);
            sleep(Duration::from_millis(1)).await;
            Ok::<_, Error>(name)
        },
    ));
    let trace = Trace::new(TraceId::new(0xabc).unwrap(), SpanId::new(1).unwrap());
    let context = Context::new()
        .with_method(&GREETING)
        .with_peer(Peer::Memory)
        .with_request_id("r-1".parse().unwrap())
        .with_trace(trace);
    greet.invoke(context, "Ann".to_owned()).await.unwrap();

    let state = seen(&watch).await;
    let mut call = state["recent"][0].clone();
    assert!(call["at_ms"].as_u64().unwrap() > 1_700_000_000_000);
    call["at_ms"] = Value::Null;
    assert_eq!(
        call,
        json!({
            "method": "greeter.Greeter/Greeting", "at_ms": null, "took_us": 3000, "code": "OK",
            "failed": false, "peer": "memory", "request_id": "r-1",
            "trace_id": "00000000000000000000000000000abc", "attempts": 1, "error": null,
            "layers": [{"layer": "balancer", "from_us": 0, "to_us": 2000}],
            "said": [{"layer": "balancer", "at_us": 2000, "text": "picked 10.0.0.7"}],
        })
    );
    assert_eq!(state["failed"], json!([]));
    let traffic = &state["traffic"][0];
    assert_eq!((&traffic["calls"], &traffic["in_flight"]), (&json!(1), &json!(0)));
    assert_eq!(traffic["slots"][59]["calls"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_kept_with_its_cause_when_others_have_pushed_it_out() {
    let watch = Watch::new().calls(2).layer().unwrap();
    let greet = ServiceBuilder::new().layer(watch.clone()).service(endpoint_fn(
        |_: Context, fails: bool| async move {
            match fails {
                true => Err(Attempts::keep(vec![], Error::internal("the disk is full"))),
                false => Ok(()),
            }
        },
    ));
    for fails in [true, false, false, false] {
        let _ = greet.invoke(Context::new().with_method(&GREETING), fails).await;
    }
    let state = seen(&watch).await;
    assert_eq!(state["recent"].as_array().unwrap().len(), 2);
    assert_eq!(state["failed"][0]["code"], "INTERNAL");
    let error = state["failed"][0]["error"].as_str().unwrap();
    assert!(error.ends_with("the disk is full"), "{error}");
    assert_eq!(state["traffic"][0]["failed"], 1);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_calls_a_second_have_notes_and_all_are_counted() {
    let watch = Watch::new().per_second(3).layer().unwrap();
    let greet = ServiceBuilder::new().layer(watch.clone()).service(endpoint_fn(
        |context: Context, ()| async move { Ok::<_, Error>(context.notes().is_open()) },
    ));
    for expected in [3, 3] {
        let mut noted = 0;
        for _ in 0..10 {
            noted += u32::from(greet.invoke(Context::new(), ()).await.unwrap());
        }
        assert_eq!(noted, expected);
        sleep(Duration::from_secs(1)).await;
    }
    let state = seen(&watch).await;
    assert_eq!(state["recent"].as_array().unwrap().len(), 6);
    assert_eq!(
        (&state["traffic"][0]["calls"], &state["traffic"][0]["method"]),
        (&json!(20), &json!("-"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_one_call_that_takes_until_its_end() {
    static MANY: Method = Method::server_streaming("greeter.Greeter", "GreetMany");
    let watch = Watch::new().layer().unwrap();
    let greet = ServiceBuilder::new().layer(watch.clone()).service(endpoint_fn(
        |_: Context, (): ()| async {
            Ok::<_, Error>(Streaming::iter((0..1000).map(Ok::<u32, Error>)))
        },
    ));
    let mut request = purlin_endpoint::Request::new(Context::new().with_method(&MANY), ());
    let ending = purlin_endpoint::Call::open_end(&mut request).unwrap();
    let mut greet = greet;
    purlin_endpoint::Service::call(&mut greet, request).await.unwrap();
    assert_eq!(seen(&watch).await["traffic"][0]["in_flight"], 1);
    sleep(Duration::from_secs(2)).await;
    ending.finish(Err(&Error::of(Code::DataLoss)));
    let state = seen(&watch).await;
    assert_eq!(state["recent"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&state["recent"][0]["took_us"], &state["recent"][0]["code"]),
        (&json!(2_000_000), &json!("DATA_LOSS"))
    );
    assert_eq!(state["traffic"][0]["in_flight"], 0);
}

#[test]
fn a_number_of_calls_that_makes_no_sense_is_named() {
    for calls in [0, 10_001] {
        assert_eq!(Watch::new().calls(calls).layer().unwrap_err().field, "calls");
    }
}
