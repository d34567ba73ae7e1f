use crate::Calls;
use purlin_concurrency::{AdaptiveLimit, ConcurrencyLimit, Limit, Shed};
use purlin_endpoint::{
    ByGrpcStatus, Code, Context,
    Criticality::{Critical, Sheddable},
    Endpoint as _, Error, Inspect as _, Layer as _, endpoint_fn,
};
use std::{convert::Infallible, time::Duration};
use tower::{ServiceBuilder, ServiceExt as _};

#[test]
fn a_refusal_is_unavailable_and_never_reached_the_handler() {
    for shed in [Shed::Full, Shed::Displaced, Shed::Waited] {
        let error = Error::from(shed);
        assert_eq!((error.code(), error.is_unreached()), (Code::Unavailable, true));
        assert!(error.is_retryable());
        assert_eq!(error.find::<Shed>(), Some(&shed));
    }
    let expired = Error::from(Shed::Expired);
    assert_eq!((expired.code(), expired.is_unreached()), (Code::DeadlineExceeded, true));
}

#[test]
fn a_mistake_names_its_field() {
    let gradient = AdaptiveLimit::gradient();
    let fields = [
        (ConcurrencyLimit::new(0), "limit"),
        (ConcurrencyLimit::new(1).reserve(1.0), "reserve"),
        (ConcurrencyLimit::new(1).reserve(-0.1), "reserve"),
        (ConcurrencyLimit::new(1).reserve(f64::NAN), "reserve"),
        (ConcurrencyLimit::new(1).queue(1).patience(Duration::ZERO), "patience"),
        (ConcurrencyLimit::new(gradient.min(0)), "min"),
        (ConcurrencyLimit::new(gradient.max(19)), "max"),
        (ConcurrencyLimit::new(gradient.initial(201)), "initial"),
        (ConcurrencyLimit::new(gradient.initial(19)), "initial"),
        (ConcurrencyLimit::new(gradient.slow(Duration::ZERO)), "slow"),
    ];
    let handle = ConcurrencyLimit::new(3).layer().unwrap().handle();
    for (config, field) in fields {
        assert_eq!(handle.update(config.clone()).unwrap_err().field, field);
        assert_eq!(config.layer().unwrap_err().field, field);
    }
    assert_eq!(handle.limit(), 3, "a mistake changes nothing");
    assert!(ConcurrencyLimit::default().layer().is_ok());
    assert!(ConcurrencyLimit::new(AdaptiveLimit::aimd()).layer().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_handle_changes_the_limit_while_calls_run() {
    let calls = Calls::new(ConcurrencyLimit::new(1).queue(3));
    let [first, second, third] = calls.many().await;
    assert_eq!(calls.counts(), (1, 2));
    calls.handle.update(ConcurrencyLimit::new(2).queue(3)).unwrap();
    crate::settle().await;
    assert_eq!(calls.counts(), (2, 1), "who waits gets in at once");
    calls.handle.update(ConcurrencyLimit::new(1)).unwrap();
    assert_eq!(calls.counts(), (2, 1), "who is in flight or waits stays there");
    assert_eq!(calls.of(Critical).await.refused().await, Shed::Full);
    first.finish().await;
    assert_eq!(calls.counts(), (1, 1));
    second.finish().await;
    third.finish().await;
    assert_eq!(calls.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_handle_shows_what_goes_on() {
    let calls = Calls::new(ConcurrencyLimit::new(1).queue(1));
    let _made = calls.many::<2>().await;
    drop(calls.of(Sheddable).await);
    assert_eq!(calls.handle.name(), "concurrency");
    let shown: serde_json::Value = serde_json::from_str(&calls.handle.snapshot()).unwrap();
    let shed =
        serde_json::json!({"SHEDDABLE": 1, "SHEDDABLE_PLUS": 0, "CRITICAL": 0, "CRITICAL_PLUS": 0});
    let expected = serde_json::json!({"limit": 1, "in_flight": 1, "waiting": 1, "shed": shed});
    assert_eq!(shown, expected);
}

#[tokio::test(start_paused = true)]
async fn a_panic_gives_the_permit_back_and_the_next_gets_it() {
    let layer = ConcurrencyLimit::new(1).queue(1).layer().unwrap();
    let handle = layer.handle();
    let service = layer.layer(endpoint_fn(|_: Context, fails: bool| async move {
        tokio::task::yield_now().await;
        assert!(!fails, "it was told to");
        Ok::<_, Error>(())
    }));
    let failing = tokio::spawn(service.invoke(Context::new(), true));
    let waiting = tokio::spawn(service.invoke(Context::new(), false));
    assert!(failing.await.unwrap_err().is_panic());
    assert!(waiting.await.unwrap().is_ok());
    assert_eq!((handle.in_flight(), handle.waiting()), (0, 0));
}

#[tokio::test]
async fn the_error_type_of_any_service_stays_what_it_is() {
    let layer = ConcurrencyLimit::new(1).layer().unwrap().classify(ByGrpcStatus);
    let handle = layer.handle();
    let layer = layer.respond(|shed: Shed| http::Response::new(shed.to_string()));
    let service = ServiceBuilder::new().layer(layer).service_fn(|_: http::Request<()>| async {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(http::Response::new("done".to_owned()))
    });
    let call = || service.clone().oneshot(http::Request::new(()));
    let (first, second) = tokio::join!(call(), call());
    assert_eq!(first.unwrap().body(), "done");
    assert_eq!(second.unwrap().body(), "too many calls are in flight");
    assert_eq!(handle.shed(Critical), 1);
}

#[test]
fn configurations_are_data() {
    let config = ConcurrencyLimit::default();
    assert_eq!(config, ConcurrencyLimit::new(AdaptiveLimit::gradient()));
    assert_ne!(config, ConcurrencyLimit::new(Limit::Fixed(20)));
}
