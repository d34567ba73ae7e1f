//! Who is taken out, who comes back, and where calls go meanwhile.

use crate::world::{Called, Does, World, ask, instances, method, settle, world};
use purlin_balancer::{Balance, Balancer, Ejection};
use purlin_endpoint::{Code, Context, Endpoint as _};
use purlin_sd::Instance;
use std::time::Duration;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

const MS: Duration = Duration::from_millis(1);

const BAD: Does = Does { takes: Duration::ZERO, fails: Some(Code::Internal), hangs: false };

async fn calls(balancer: &Balancer<Called>, count: usize) {
    let service = method(balancer);
    for _ in 0..count {
        let _ = ask(&service).await;
    }
}

#[tokio::test(start_paused = true)]
async fn five_failures_in_a_row_take_an_instance_out_for_thirty_seconds() {
    let world = world(10).await;
    world.set("10.0.0.3:1", BAD);
    let balancer = world.balance(Balance::round_robin()).await;
    calls(&balancer, 50).await;
    assert_eq!(world.seen()["10.0.0.3:1"], 5);
    calls(&balancer, 100).await;
    assert_eq!(world.seen()["10.0.0.3:1"], 0);
    // sleeps: time is paused.
    sleep(Duration::from_secs(29)).await;
    calls(&balancer, 100).await;
    assert_eq!(world.seen()["10.0.0.3:1"], 0);
    // sleeps: time is paused.
    sleep(Duration::from_secs(2)).await;
    calls(&balancer, 10).await;
    assert_eq!(world.seen()["10.0.0.3:1"], 1);
}

/// Calls that nobody waits for longer than this; the balancer is told of it or not.
async fn calls_within(balancer: &Balancer<Called>, count: usize, told: bool) {
    const PATIENCE: Duration = Duration::from_millis(100);
    let service = method(balancer);
    for _ in 0..count {
        let context = Context::new();
        let context = if told { context.with_timeout(PATIENCE) } else { context };
        let _ = timeout(PATIENCE, service.invoke(context, ())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_never_answers_is_taken_out_by_the_calls_whose_time_is_over() {
    let world = world(10).await;
    world.set("10.0.0.3:1", Does { hangs: true, ..Does::default() });
    let balancer = world.balance(Balance::round_robin()).await;
    calls_within(&balancer, 100, false).await;
    assert_eq!(world.seen()["10.0.0.3:1"], 10, "who gives up before says nothing");
    calls_within(&balancer, 100, true).await;
    assert_eq!(world.seen()["10.0.0.3:1"], 5);
}

/// As many calls, one each millisecond: some ten are in flight.
async fn stream_of_calls(balancer: &Balancer<Called>, count: usize) {
    let mut running = JoinSet::new();
    for _ in 0..count {
        let service = method(balancer);
        running.spawn(async move { ask(&service).await });
        // sleeps: time is paused.
        sleep(MS).await;
    }
    running.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn bad_ones_that_may_not_be_taken_out_get_no_calls_by_failing_at_once() {
    for balance in [Balance::default(), Balance::least_request()] {
        let world = world(5).await;
        let well = Does { takes: MS * 10, ..Does::default() };
        instances(5).for_each(|it| world.set(&it.id, well));
        // Only one of the three may be out by default.
        let bad = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"];
        bad.iter().for_each(|id| world.set(id, BAD));
        let balancer = world.balance(balance).await;
        stream_of_calls(&balancer, 10_000).await;
        let seen = world.seen();
        assert!(bad.iter().map(|id| seen[*id]).sum::<u64>() <= 50, "{seen:?}");
        // They are given another chance, and take it.
        bad.iter().for_each(|id| world.set(id, well));
        stream_of_calls(&balancer, 60_000).await;
        world.seen();
        stream_of_calls(&balancer, 10_000).await;
        let seen = world.seen();
        assert!(bad.iter().all(|id| seen[*id] >= 1_000), "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_callers_own_faults_take_nobody_out() {
    let world = world(3).await;
    world.set("10.0.0.1:1", Does { fails: Some(Code::InvalidArgument), ..Does::default() });
    let balancer = world.balance(Balance::round_robin()).await;
    calls(&balancer, 300).await;
    assert_eq!(world.seen()["10.0.0.1:1"], 100);
}

#[tokio::test(start_paused = true)]
async fn when_all_are_bad_all_are_called() {
    let world = world(4).await;
    instances(4).for_each(|instance| world.set(&instance.id, BAD));
    let balance = Balance::round_robin().ejection(Ejection::new().share(1.0));
    let balancer = world.balance(balance).await;
    calls(&balancer, 400).await;
    world.seen();
    calls(&balancer, 400).await;
    // More than half are out, so that it makes no difference any more.
    assert!(world.seen().values().all(|count| *count == 100));
    assert!(balancer.explain(&Context::new()).unwrap().panic);
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_more_often_than_the_others_is_taken_out_at_the_interval() {
    let world = world(6).await;
    let balancer = world.balance(Balance::round_robin()).await;
    let service = method(&balancer);
    for round in 0..200 {
        // Half of its calls fail, and never five in a row.
        let does = if round % 2 == 0 { BAD } else { Does::default() };
        world.set("10.0.0.2:1", does);
        for _ in 0..6 {
            let _ = ask(&service).await;
        }
    }
    world.seen();
    // sleeps: time is paused.
    sleep(Duration::from_secs(11)).await;
    calls(&balancer, 100).await;
    assert_eq!(world.seen()["10.0.0.2:1"], 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_registry_holds_to_be_unwell_is_not_called() {
    let world = world(3).await;
    world.add(&Instance { healthy: false, ..Instance::new("10.0.0.1:1") });
    let balancer = world.balance(Balance::round_robin()).await;
    calls(&balancer, 100).await;
    assert_eq!(world.seen()["10.0.0.1:1"], 0);
    assert_eq!(balancer.explain(&Context::new()).unwrap().unwell, 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_instance_is_given_work_slowly() {
    fastrand::seed(3);
    let world = world(4).await;
    let window = Duration::from_secs(10);
    let balancer = world.balance(Balance::weighted().slow_start(window)).await;
    world.add(&Instance::new("new"));
    settle().await;
    let mut shares = Vec::new();
    for _ in 0..6 {
        calls(&balancer, 4_100).await;
        shares.push(world.seen()["new"]);
        // sleeps: time is paused.
        sleep(Duration::from_millis(2_100)).await;
    }
    assert!((90..=110).contains(&shares[0]), "a tenth of its weight: {shares:?}");
    assert!(shares.is_sorted(), "{shares:?}");
    assert!((800..=840).contains(&shares[5]), "all of it: {shares:?}");
}

#[tokio::test(start_paused = true)]
async fn ones_own_zone_is_preferred_as_far_as_it_can_take_it() {
    fastrand::seed(4);
    let world = World::new();
    for index in 0..8 {
        let zone = if index < 4 { "near" } else { "far" };
        world.add(&Instance { zone: Some(zone.into()), ..Instance::new(format!("{zone}{index}")) });
    }
    let balancer = world.balance(Balance::round_robin().zone("near")).await;
    let near = |world: &World| {
        let seen = world.seen();
        seen.iter().filter(|(id, _)| id.starts_with("near")).map(|(_, count)| count).sum::<u64>()
    };
    calls(&balancer, 10_000).await;
    assert_eq!(near(&world), 10_000);
    for id in ["near0", "near1"] {
        let instance = Instance { zone: Some("near".into()), healthy: false, ..Instance::new(id) };
        world.add(&instance);
    }
    settle().await;
    calls(&balancer, 10_000).await;
    // Half of it is well, and can take 1.4 times its share.
    let taken = near(&world);
    assert!((6_800..=7_200).contains(&taken), "{taken}");
    // With nobody near, all go far.
    for index in 0..4 {
        world.remove(&format!("near{index}"));
    }
    settle().await;
    calls(&balancer, 100).await;
    assert_eq!((near(&world), balancer.explain(&Context::new()).unwrap().seen), (0, 4));
}
