use crate::{Do, Obedient, SECOND, code};
use purlin_circuitbreaker::{CircuitBreaker, Event, Forced, State};
use purlin_endpoint::{
    Backoff, Code, Context, Inspect as _, Layer as _, Method, MethodLayer, Service as _,
};
use tower::ServiceBuilder;

static QUOTED: Method = Method::unary("odd.\"Service\\", "Me\nthod");

fn brittle() -> CircuitBreaker {
    CircuitBreaker::new()
        .consecutive_failures(1)
        .half_open_calls(1)
        .open_for(Backoff::new(SECOND).jitter(0.0))
}

#[tokio::test(start_paused = true)]
async fn a_forced_breaker_stays_as_it_is_until_it_is_released() {
    let layer = brittle().layer().unwrap();
    let (handle, mut service) = (layer.handle(), layer.layer(Obedient));
    let status = || handle.status().remove(0);

    handle.force(Forced::Open);
    tokio::time::advance(1_000 * SECOND).await;
    assert_eq!(code(&mut service, Do::Answer).await, Code::Unavailable);
    assert_eq!((status().state, status().refused), (State::ForcedOpen, 1));

    for (forced, state, counted) in
        [(Forced::Closed, State::ForcedClosed, 3), (Forced::Disabled, State::Disabled, 0)]
    {
        handle.force(forced);
        for _ in 0..3 {
            assert_eq!(code(&mut service, Do::Fail(Code::Internal)).await, Code::Internal);
        }
        assert_eq!((status().state, status().failed), (state, counted));
    }

    handle.release();
    assert_eq!((status().state, status().calls), (State::Closed, 0));
    assert_eq!(code(&mut service, Do::Fail(Code::Internal)).await, Code::Internal);
    // A release of one that nobody forced changes nothing.
    handle.release();
    assert_eq!(status().state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_comes_later_is_forced_as_well_and_one_alone_can_be() {
    let layer = brittle().layer().unwrap();
    let handle = layer.handle();
    handle.force(Forced::Open);
    let stack = ServiceBuilder::new().layer(MethodLayer::new(&QUOTED)).layer(layer);
    let mut service = stack.service(Obedient);
    assert_eq!(code(&mut service, Do::Answer).await, Code::Unavailable);
    assert!(!handle.force_only("nobody", Forced::Closed));
    assert!(handle.force_only(&QUOTED.to_string(), None));
    assert_eq!(code(&mut service, Do::Answer).await, Code::Ok);
    assert_eq!(handle.status()[0].state, State::ForcedOpen);
}

#[tokio::test(start_paused = true)]
async fn other_settings_are_taken_without_losing_the_state() {
    let config = CircuitBreaker::new().minimum_calls(4).open_for(Backoff::new(SECOND).jitter(0.0));
    let layer = config.layer().unwrap();
    let (handle, mut service) = (layer.handle(), layer.layer(Obedient));
    for what in [Do::Answer, Do::Answer, Do::Fail(Code::Internal)] {
        code(&mut service, what).await;
    }
    handle.update(config.failure_rate(0.25).calls(50)).unwrap();
    assert_eq!(handle.status()[0].calls, 3);
    assert_eq!(code(&mut service, Do::Answer).await, Code::Ok);
    assert_eq!(handle.status()[0].state, State::Open);
    handle.update(config.time(SECOND)).unwrap();
    assert_eq!(handle.status()[0].state, State::Open);
    assert_eq!(handle.update(config.calls(0)).unwrap_err().field, "calls");
    assert_eq!(handle.config(), config.time(SECOND));
    tokio::time::advance(SECOND).await;
    assert_eq!(code(&mut service, Do::Answer).await, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn who_listens_hears_of_changes_and_refusals() {
    let layer = brittle().layer().unwrap();
    let mut service = layer.layer(Obedient);
    let mut events = layer.handle().events();
    code(&mut service, Do::Fail(Code::Internal)).await;
    code(&mut service, Do::Answer).await;
    tokio::time::advance(SECOND).await;
    code(&mut service, Do::Answer).await;
    let moved = |to, number| Event::Moved { key: "*".into(), to, number };
    for wanted in [
        moved(State::Open, 1),
        Event::Refused { key: "*".into(), retry_after: SECOND },
        moved(State::HalfOpen, 2),
        moved(State::Closed, 3),
    ] {
        assert_eq!(events.next().await, Some(wanted));
    }
    drop((layer, service));
    assert_eq!(events.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn who_listens_too_slowly_is_told_how_much_was_missed() {
    let layer = brittle().layer().unwrap();
    let mut service = layer.layer(Obedient);
    layer.handle().force(Forced::Open);
    let mut events = layer.handle().events();
    for _ in 0..1_500 {
        assert_eq!(code(&mut service, Do::Answer).await, Code::Unavailable);
    }
    assert_eq!(events.next().await, Some(Event::Missed(1_500 - 1_024)));
    assert!(matches!(events.next().await, Some(Event::Refused { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_snapshot_is_json_whatever_keys_are_called() {
    let layer = brittle().layer().unwrap();
    let mut service = ServiceBuilder::new()
        .layer(MethodLayer::new(&QUOTED))
        .layer(layer.clone())
        .service(Obedient);
    code(&mut service, Do::Fail(Code::Internal)).await;
    code(&mut service, Do::Answer).await;
    assert_eq!(layer.handle().name(), "circuitbreaker");
    let snapshot: serde_json::Value = serde_json::from_str(&layer.handle().snapshot()).unwrap();
    let wanted = |key: &str, state, refused| {
        serde_json::json!({
            "key": key, "state": state, "calls": 0, "failed": 0, "slow": 0, "probing": 0,
            "refused": refused,
        })
    };
    let wanted = [wanted("*", "closed", 0), wanted(&QUOTED.to_string(), "open", 1)];
    assert_eq!(snapshot, serde_json::Value::from(wanted.to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_handle_may_be_used_while_it_is_shared() {
    fn is_shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    let layer = brittle().layer().unwrap().by(|context: &Context| context.request_id().cloned());
    is_shared(&layer.handle());
    is_shared(&layer);
    let _ = layer.layer(Obedient).call(crate::request(Do::Answer)).await;
}
