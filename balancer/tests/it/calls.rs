//! What a caller sees.

use crate::world::{Does, World, ask, instances, method, settle, world};
use purlin_balancer::{Balance, NoEndpoints};
use purlin_endpoint::{
    Call as _, Code, Context, Endpoint as _, Method, Notes, Request, Service as _, Tried,
};
use purlin_sd::Instance;
use std::time::Duration;
use tokio::time::timeout;

fn in_flight(balancer: &impl purlin_endpoint::Inspect) -> u64 {
    let snapshot: serde_json::Value = serde_json::from_str(&balancer.snapshot()).unwrap();
    let instances = snapshot["instances"].as_array().unwrap();
    instances.iter().map(|instance| instance["in_flight"].as_u64().unwrap()).sum()
}

#[tokio::test(start_paused = true)]
async fn lb_2_and_5_without_instances_a_call_is_refused() {
    for balance in [Balance::round_robin(), Balance::random(), Balance::peak_ewma()] {
        let balancer = World::new().balance(balance).await;
        let error = ask(&method(&balancer)).await.unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (Code::Unavailable, "no instance can be called")
        );
        assert!(error.is_unreached() && error.is_retryable());
        let none = error.find::<NoEndpoints>().unwrap();
        assert_eq!((none.seen, none.filtered, none.known), (0, 0, true));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_what_kept_the_instances_out() {
    let balancer = world(3).await.balance(Balance::random().filter(|_| false)).await;
    let error = ask(&method(&balancer)).await.unwrap_err();
    let said = error.find::<NoEndpoints>().unwrap().to_string();
    assert_eq!(said, "of 3 instances 3 are filtered and 0 failed to be set up");
}

#[tokio::test(start_paused = true)]
async fn what_comes_and_goes_is_called_and_not() {
    let world = world(1).await;
    let balancer = world.balance(Balance::round_robin()).await;
    let service = method(&balancer);
    world.add(&Instance::new("10.0.0.9:1"));
    settle().await;
    let mut seen = [ask(&service).await.unwrap(), ask(&service).await.unwrap()];
    seen.sort();
    assert_eq!(seen, ["10.0.0.0:1", "10.0.0.9:1"]);
    world.remove("10.0.0.0:1");
    settle().await;
    for _ in 0..3 {
        assert_eq!(ask(&service).await.unwrap(), "10.0.0.9:1");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_failed_is_passed_over_by_the_next_attempt() {
    let world = world(3).await;
    let keys = |_: &Context| Some(7);
    for balance in [
        Balance::random(),
        Balance::peak_ewma(),
        Balance::least_request(),
        Balance::consistent_hash(keys),
    ] {
        let balancer = world.balance(balance.ejection(None)).await;
        let service = method(&balancer);
        for id in ["10.0.0.0:1", "10.0.0.1:1", "10.0.0.2:1"] {
            world.set(id, Does { fails: Some(Code::Unavailable), ..Does::default() });
        }
        for _ in 0..100 {
            let mut context = Context::new();
            let mut tried = Tried::default();
            for attempts in 1..=3 {
                let error = service.invoke(context, ()).await.unwrap_err();
                tried = error.attached::<Tried>().unwrap().clone();
                assert_eq!(tried.ids().len(), attempts);
                context = Context::new().with(tried.clone());
            }
            let mut ids = tried.ids();
            ids.sort_unstable();
            let all = ["10.0.0.0:1", "10.0.0.1:1", "10.0.0.2:1"].map(Into::into);
            assert_eq!(ids, all, "each was tried once");
            // When all were tried, any is as good.
            assert!(service.invoke(context, ()).await.is_err());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_never_answers_is_passed_over_by_the_next_attempt() {
    let world = world(3).await;
    instances(3).for_each(|it| world.set(&it.id, Does { hangs: true, ..Does::default() }));
    for balance in [Balance::round_robin(), Balance::peak_ewma(), Balance::least_request()] {
        let service = method(&world.balance(balance).await);
        let tried = Tried::default();
        for _ in 0..3 {
            let call = service.invoke(Context::new().with(tried.clone()), ());
            assert!(timeout(Duration::from_millis(1), call).await.is_err());
        }
        assert!(instances(3).all(|it| tried.contains(&it.id)), "{tried:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_in_flight_until_its_stream_has_ended() {
    static STREAM: Method = Method::server_streaming("a.B", "C");
    let balancer = world(2).await.balance(Balance::least_request()).await;
    let mut service = method(&balancer);
    let mut request = Request::new(Context::new().with_method(&STREAM), ());
    let ending = request.open_end().unwrap();
    service.call(request).await.unwrap();
    assert_eq!(in_flight(&balancer), 1);
    ending.finish(Ok(()));
    assert_eq!(in_flight(&balancer), 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_million_calls_of_which_some_were_dropped_nothing_is_in_flight() {
    let world = world(5).await;
    world.set("10.0.0.3:1", Does { fails: Some(Code::Internal), ..Does::default() });
    let keys = |context: &Context| context.get::<u64>().copied();
    for balance in [Balance::least_request(), Balance::peak_ewma(), Balance::consistent_hash(keys)]
    {
        let balancer = world.balance(balance).await;
        let service = method(&balancer);
        for call in 0..350_000_u64 {
            let future = service.invoke(Context::new().with(call), ());
            if call % 5 == 0 {
                drop(future);
            } else {
                let _ = future.await;
            }
            if call % 7 == 0 {
                drop(balancer.pick(&Context::new()));
            }
        }
        assert_eq!(in_flight(&balancer), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_dropped_in_the_middle_are_not_in_flight() {
    let world = world(2).await;
    world.set("10.0.0.0:1", Does { hangs: true, ..Does::default() });
    world.set("10.0.0.1:1", Does { hangs: true, ..Does::default() });
    let balancer = world.balance(Balance::peak_ewma()).await;
    let service = method(&balancer);
    for _ in 0..1_000 {
        let call = timeout(Duration::from_millis(1), ask(&service));
        assert!(call.await.is_err());
    }
    assert_eq!(in_flight(&balancer), 0);
}

#[tokio::test(start_paused = true)]
async fn a_decision_says_what_was_seen_filtered_and_picked() {
    let world = World::new();
    for (id, version) in [("a", "1"), ("b", "2")] {
        world.add(&Instance { version: Some(version.into()), ..Instance::new(id) });
    }
    let two = |instance: &Instance| instance.version.as_deref() == Some("2");
    let balancer = world.balance(Balance::round_robin().filter(two)).await;
    let decision = balancer.explain(&Context::new()).unwrap();
    assert_eq!(decision.to_string(), "b by round robin (seen 2, filtered 1, unwell 0)");
    assert_eq!(in_flight(&balancer), 0, "what is only explained is not in flight");
    let notes = Notes::open();
    let context = Context::new().with_notes(notes.clone());
    method(&balancer).invoke(context, ()).await.unwrap();
    assert_eq!(notes.read()[0].text, Some(decision.to_string()));
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_last_clone() {
    let world = world(1).await;
    let balancer = world.balance(Balance::default()).await;
    let clone = balancer.clone();
    drop(balancer);
    settle().await;
    world.add(&Instance::new("late:1"));
    settle().await;
    let service = method(&clone);
    drop(clone);
    let seen = [ask(&service).await.unwrap(), ask(&service).await.unwrap()];
    assert!(seen.iter().any(|id| id == "late:1") || seen[0] == "10.0.0.0:1");
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    drop(service);
    settle().await;
    // The balancer's, the endpoints' and the discovery's.
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), before - 3);
}

#[tokio::test]
async fn a_mistake_names_its_field() {
    let endpoints = || {
        let none = purlin_sd::Instancer::fixed([]);
        purlin_sd::Endpoints::new(none, |_| Ok(()))
    };
    let field = |balance: Balance| balance.over(endpoints()).unwrap_err().field;
    let ejection = purlin_balancer::Ejection::new;
    assert_eq!(field(Balance::random().panic_threshold(1.1)), "panic_threshold");
    assert_eq!(field(Balance::random().panic_threshold(f64::NAN)), "panic_threshold");
    assert_eq!(field(Balance::random().subset(0, 1)), "subset");
    assert_eq!(field(Balance::random().ejection(ejection().consecutive(0))), "consecutive");
    assert_eq!(field(Balance::random().ejection(ejection().interval(Duration::ZERO))), "interval");
    assert_eq!(field(Balance::random().ejection(ejection().share(f64::NAN))), "share");
    assert_eq!(field(Balance::random().ejection(ejection().deviations(0.0))), "deviations");
    assert_eq!(field(Balance::random().ejection(ejection().failures(2.0))), "failures");
}
