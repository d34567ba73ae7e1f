use crate::{GREETING, admin, state};
use purlin_admin::{Fault, FaultsLayer};
use purlin_endpoint::{
    Code, Context, Endpoint, Error, Method, MethodLayer, conformance, endpoint_fn,
};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, advance};
use tower::ServiceBuilder;

const MINUTE: Duration = Duration::from_secs(60);

static OTHER: Method = Method::unary("greeter.Greeter", "Other");

fn greeter(
    faults: &FaultsLayer,
    method: &'static Method,
) -> impl Endpoint<(), Response = (), Error = Error> + use<> {
    let greet = endpoint_fn(|_: Context, ()| async { Ok::<_, Error>(()) });
    ServiceBuilder::new().layer(MethodLayer::new(method)).layer(faults.clone()).service(greet)
}

#[tokio::test]
async fn the_layer_keeps_the_rules_of_all_layers() {
    conformance::check(FaultsLayer::new).await;
    conformance::check_refusing(|| {
        let faults = FaultsLayer::new();
        faults.handle().inject(Fault::code(Code::Unavailable), MINUTE).unwrap();
        faults
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_hits_its_method_until_it_expires() {
    let faults = FaultsLayer::new();
    let (greet, other) = (greeter(&faults, &GREETING), greeter(&faults, &OTHER));
    let fault = Fault::code(Code::Unavailable).method("greeter.Greeter/Greeting");
    faults.handle().inject(fault, MINUTE).unwrap();
    let error = greet.invoke(Context::new(), ()).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Unavailable, "an injected fault"));
    other.invoke(Context::new(), ()).await.unwrap();
    advance(MINUTE).await;
    greet.invoke(Context::new(), ()).await.unwrap();
    assert_eq!(faults.handle().active(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_call_takes_longer_and_succeeds() {
    let faults = FaultsLayer::new();
    let greet = greeter(&faults, &GREETING);
    faults.handle().inject(Fault::delay(Duration::from_millis(300)), MINUTE).unwrap();
    let started = Instant::now();
    greet.invoke(Context::new(), ()).await.unwrap();
    assert_eq!(started.elapsed(), Duration::from_millis(300));
    faults.handle().clear();
    let started = Instant::now();
    greet.invoke(Context::new(), ()).await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_share_of_the_calls_is_hit() {
    let faults = FaultsLayer::new();
    let greet = greeter(&faults, &GREETING);
    faults.handle().inject(Fault::code(Code::Internal).share(0.3), MINUTE).unwrap();
    let mut failed = 0;
    for _ in 0..10_000 {
        failed += u32::from(greet.invoke(Context::new(), ()).await.is_err());
    }
    // Six standard deviations to either side.
    assert!((2_725..=3_275).contains(&failed), "{failed}");
}

#[test]
fn a_fault_that_is_none_is_named() {
    let handle = FaultsLayer::new().handle();
    let refused = |fault| handle.inject(fault, MINUTE).unwrap_err().field;
    assert_eq!(refused(Fault::code(Code::Ok)), "code");
    assert_eq!(refused(Fault::delay(Duration::ZERO)), "delay");
    for share in [0.0, -1.0, 1.1, f64::NAN] {
        assert_eq!(refused(Fault::code(Code::Internal).share(share)), "share");
    }
    for _ in 0..32 {
        handle.inject(Fault::code(Code::Internal), MINUTE).unwrap();
    }
    assert_eq!(refused(Fault::code(Code::Internal)), "fault");
}

#[tokio::test(start_paused = true)]
async fn the_page_sets_faults_and_shows_them() {
    let faults = FaultsLayer::new();
    let inject = faults.handle().inject_action();
    let said = inject.perform([("code", "UNAVAILABLE"), ("share", "0.5"), ("for", "90s")]);
    assert_eq!(said.unwrap(), "calls suffer it for 90s");
    inject.perform([("delay", "250ms"), ("method", "a.B/C")]).unwrap();
    assert_eq!(
        inject.perform([("share", "2")]).unwrap_err(),
        "share is not more than 0 and at most 1"
    );
    let shown = state(&admin().component(faults.handle()).service()).await;
    assert_eq!(
        shown["components"][0]["state"],
        json!([
            {"method": null, "share": 0.5, "delay_ms": 0, "code": "UNAVAILABLE", "left_s": 90},
            {"method": "a.B/C", "share": 1.0, "delay_ms": 250, "code": null, "left_s": 60},
        ])
    );
    faults.handle().clear_action().perform([("", ""); 0]).unwrap();
    assert_eq!(faults.handle().active(), 0);
}
