//! How calls are spread.

use crate::world::{Does, World, ask, instances, method, settle, world};
use purlin_balancer::{Balance, hash};
use purlin_endpoint::{Context, Endpoint as _};
use purlin_sd::Instance;
use std::{collections::BTreeMap, time::Duration};

#[tokio::test(start_paused = true)]
async fn lb_1_round_robin_goes_around() {
    let world = world(3).await;
    let service = method(&world.balance(Balance::round_robin()).await);
    let mut total = [0; 3];
    let mut history = Vec::new();
    for _ in 0..7 {
        let id = ask(&service).await.unwrap();
        total[id.as_bytes()[7] as usize - usize::from(b'0')] += 1;
        history.push(total.map(|count| count.to_string()).concat());
    }
    assert_eq!(history, ["100", "110", "111", "211", "221", "222", "322"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lb_3_round_robin_is_exact_under_concurrent_pickers() {
    let world = world(5).await;
    let balancer = world.balance(Balance::round_robin()).await;
    let pickers: Vec<_> = (0..100)
        .map(|_| {
            let service = method(&balancer);
            tokio::spawn(async move {
                for _ in 0..100 {
                    ask(&service).await.unwrap();
                }
            })
        })
        .collect();
    for picker in pickers {
        picker.await.unwrap();
    }
    // Go kit's test only asks that nothing races; ours counts.
    assert!(world.seen().values().all(|count| *count == 2_000));
}

#[tokio::test(start_paused = true)]
async fn lb_4_random_is_fair() {
    fastrand::seed(12345);
    let world = world(7).await;
    let balancer = world.balance(Balance::random()).await;
    let mut counts = BTreeMap::<String, u32>::new();
    for _ in 0..1_000_000 {
        let pick = balancer.pick(&Context::new()).unwrap();
        *counts.entry(pick.instance().id.clone()).or_default() += 1;
    }
    for (id, count) in counts {
        let share = f64::from(count) * 7.0 / 1e6;
        assert!((share - 1.0).abs() < 0.01, "{id} got {share} of its share");
    }
}

#[tokio::test(start_paused = true)]
async fn weighted_shares_are_exact_to_a_percent() {
    let world = World::new();
    let weights = [1, 2, 3, 5, 0, 29];
    for (index, weight) in weights.into_iter().enumerate() {
        world.add(&Instance { weight, ..Instance::new(format!("{index}")) });
    }
    let service = method(&world.balance(Balance::weighted()).await);
    for _ in 0..100_000 {
        ask(&service).await.unwrap();
    }
    let seen = world.seen();
    for (index, weight) in weights.into_iter().enumerate() {
        let share = seen[&index.to_string()] as f64 / 100_000.0;
        let expected = f64::from(weight) / 40.0;
        assert!((share - expected).abs() <= 0.01 * expected, "{index}: {share}, not {expected}");
    }
}

#[tokio::test(start_paused = true)]
async fn those_without_weight_serve_when_there_is_nobody_else() {
    let world = World::new();
    world.add(&Instance { weight: 0, ..Instance::new("spare") });
    let balancer = world.balance(Balance::default()).await;
    assert_eq!(ask(&method(&balancer)).await.unwrap(), "spare");
    world.add(&Instance::new("regular"));
    settle().await;
    assert_eq!(ask(&method(&balancer)).await.unwrap(), "regular");
}

#[tokio::test(start_paused = true)]
async fn least_request_avoids_the_busy() {
    fastrand::seed(1);
    let world = world(4).await;
    world.set("10.0.0.2:1", Does { takes: Duration::from_secs(1000), ..Does::default() });
    let balancer = world.balance(Balance::least_request()).await;
    let service = method(&balancer);
    for _ in 0..1_000 {
        tokio::spawn({
            let service = service.clone();
            async move { ask(&service).await }
        });
        settle().await;
    }
    let stuck = world.seen()["10.0.0.2:1"];
    // With one call in flight it loses to any other that it is drawn with.
    assert!(stuck <= 2, "{stuck} calls went to the one that is busy");
}

/// 1,000 calls a second at ten instances, of which one answers in 100 ms and the others in 10.
#[tokio::test(start_paused = true)]
async fn one_ten_times_slower_gets_two_percent_within_a_second() {
    fastrand::seed(2);
    let world = world(10).await;
    let ms = Duration::from_millis;
    for instance in instances(10) {
        world.set(&instance.id, Does { takes: ms(10), ..Does::default() });
    }
    let balancer = world.balance(Balance::peak_ewma()).await;
    let service = method(&balancer);
    let second = async || {
        for _ in 0..1_000 {
            tokio::spawn({
                let service = service.clone();
                async move { ask(&service).await }
            });
            // sleeps: time is paused, and this is the time between two calls.
            tokio::time::sleep(ms(1)).await;
        }
        world.seen()
    };
    second().await;
    world.set("10.0.0.4:1", Does { takes: ms(100), ..Does::default() });
    second().await;
    let after = second().await["10.0.0.4:1"];
    assert!(after <= 20, "{after} of 1000 calls went to the slow one");
    world.set("10.0.0.4:1", Does { takes: ms(10), ..Does::default() });
    // It is thought better of as time passes.
    for _ in 0..30 {
        second().await;
    }
    let healed = second().await["10.0.0.4:1"];
    assert!(healed >= 50, "{healed} of 1000 calls went to the one that is well again");
}

#[tokio::test(start_paused = true)]
async fn a_key_stays_with_its_instance_and_a_removal_moves_only_its_own() {
    let world = world(10).await;
    let key = |context: &Context| context.get::<u64>().map(|key| hash(&key.to_le_bytes()));
    let balancer = world.balance(Balance::consistent_hash(key)).await;
    let service = method(&balancer);
    let owners = async || {
        let mut owners = Vec::new();
        for key in 0..5_000_u64 {
            owners.push(service.invoke(Context::new().with(key), ()).await.unwrap());
        }
        owners
    };
    let before = owners().await;
    assert_eq!(before, owners().await);
    world.remove("10.0.0.6:1");
    settle().await;
    let after = owners().await;
    for (was, is) in before.iter().zip(&after) {
        assert!(was == is || was == "10.0.0.6:1", "a key of {was} went to {is}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_everybody_asks_for_spills_over() {
    let world = world(4).await;
    let balancer = world.balance(Balance::consistent_hash(|_| Some(1))).await;
    let picks: Vec<_> = (0..100).map(|_| balancer.pick(&Context::new()).unwrap()).collect();
    let mut counts = BTreeMap::<&str, u32>::new();
    for pick in &picks {
        *counts.entry(&pick.instance().id).or_default() += 1;
    }
    // No instance has more than 1.25 times its share, rounded up.
    assert!(counts.values().all(|count| *count <= 32), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_subset_is_stable_and_differs_by_seed() {
    let world = world(50).await;
    let members = async |seed| {
        let balancer = world.balance(Balance::round_robin().subset(5, seed)).await;
        let service = method(&balancer);
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.push(ask(&service).await.unwrap());
        }
        ids.sort();
        ids.dedup();
        ids
    };
    let before = members(1).await;
    assert_eq!(before.len(), 5);
    assert_ne!(before, members(2).await);
    world.remove(&before[0]);
    settle().await;
    let after = members(1).await;
    assert_eq!(after.iter().filter(|id| before.contains(id)).count(), 4, "one was replaced");
    // Over many callers, all instances are used about alike.
    world.seen();
    for seed in 0..1_000 {
        members(seed).await;
    }
    let seen = world.seen();
    let used: Vec<u64> = seen.values().copied().filter(|count| *count > 0).collect();
    assert_eq!(used.len(), 49);
    assert!(used.iter().all(|count| (50..160).contains(count)), "{used:?}");
}
