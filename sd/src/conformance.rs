//! Tests that every registry has to pass.
//!
//! A backend brings its [`World`]: how to make it, and how to do things to its registry. Each
//! function panics with a sentence that says which promise of the [crate] was broken. They
//! wait for what must happen, in tokio's time: paused for a registry in memory, real for a real
//! server. A [`Proxy`] before a real server makes it fail. What a real server does not do in any
//! order one likes, a [`Stormy`] one in memory does: [`storms`] tries random faults on it.
//!
//! # What is shown where
//!
//! Each fault of each backend, against a real server (R), a fake one (F), a network that loses and
//! changes what is sent (N), the thing itself (T), or not at all:
//!
//! | [`Fault`] | consul | etcd | dns | mdns | file | memory |
//! |---|---|---|---|---|---|---|
//! | [`Down`](Fault::Down), from the start and later | R, F | R, F | F | N: silent | - a | - a |
//! | [`Hang`](Fault::Hang) | R, F | R, F | F | N: answers are lost | - a | - a |
//! | [`Reset`](Fault::Reset) | R, F | R, F | F: truncated by UDP, reset by TCP | N: cut off | - b | - b |
//! | [`Errors`](Fault::Errors) | R, F | F | F: SERVFAIL | N: SERVFAIL | T: fields that are none | - a |
//! | [`Garbage`](Fault::Garbage) | R, F | R, F | F | N | T: broken off | - a |
//! | [`Empty`](Fault::Empty) | R, F | F | F | N: forged goodbyes | T: as Wiped | T: as Wiped |
//! | [`Backwards`](Fault::Backwards) | R, F | R: restored, F | - c | N: late and twice | - c | - c |
//! | [`Compacted`](Fault::Compacted) | R: a check's time runs out | R, F | - d | - d | - d | - d |
//! | [`Flapping`](Fault::Flapping) | R, F | R, F | F | N | - a | - a |
//! | [`Wiped`](Fault::Wiped) | R, F | R, F | F: as Empty | - d | T | T |
//! | [`Jump`](Fault::Jump) | R, F | R, F | F | N | T | T |
//! | a slow subscriber | R, F | R, F | F | N | T | T |
//!
//! a: nothing is between it and who asks. b: it has no connections. c: it counts nothing that is
//! looked at. d: nobody keeps a past, or data that could be lost.
//!
//! Where there is an F for Consul, etcd and DNS, [`storms`] tries them in random order too, and this
//! crate's own tests do so with a registry that is simulated as a whole. What multicast DNS makes of
//! random losses is tried on what it has heard, which needs no network.

mod proxy;
mod storm;
mod truth;

pub use proxy::{Mode, Proxy};
pub use storm::{Stormy, storms};
pub use truth::{State, Truth};

use crate::{
    Discovery, EmptyAnswer, Endpoints, Instance, Instancer, Registrar, Registry, Snapshot, Source,
};
use std::{future::Future, time::Duration};
use tokio::time::{Instant, timeout};

/// A registry that can be made to fail.
pub trait World: Sync {
    /// How long a change takes to be seen at most, while all is well.
    const SEEN_WITHIN: Duration;
    /// How long a change takes to be seen at most once the registry is back.
    const HEALED_WITHIN: Duration = Duration::from_secs(3);

    /// Follows the one service that these tests are about.
    fn source(&self) -> impl Source;

    /// Registers instances of it.
    fn registry(&self) -> impl Registry;

    /// Which instances the registry holds, as somebody else sees them.
    fn registered(&self) -> impl Future<Output = Vec<String>> + Send;

    /// Deletes an instance behind the back of whoever registered it.
    fn delete(&self, id: &str) -> impl Future<Output = ()> + Send;

    /// Makes the registry fail.
    fn fault(&self, fault: Fault) -> impl Future<Output = ()> + Send;

    /// Ends the fault.
    fn heal(&self) -> impl Future<Output = ()> + Send;

    /// The faults that it can be given.
    fn faults(&self) -> &'static [Fault];

    /// What is found of an instance that was registered: all of it, unless the registry has no
    /// room for that.
    fn found(&self, registered: Instance) -> Instance {
        registered
    }
}

/// What happens to a registry.
///
/// Each of a world's faults is there when somebody starts, and comes later too. In what order they
/// come is tried with random numbers, by [`storms`] and in this crate's own tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing listens.
    Down,
    /// It accepts, and says nothing.
    Hang,
    /// Connections are reset, in the middle of an answer too.
    Reset,
    /// It answers with errors.
    Errors,
    /// Its answers break off or make no sense.
    Garbage,
    /// Its answers are empty.
    Empty,
    /// What it counts goes backwards.
    Backwards,
    /// It has forgotten the past that a watch goes on from.
    Compacted,
    /// It goes away and comes back ten times a second.
    Flapping,
    /// It has lost its data.
    Wiped,
    /// An hour has passed at once, as when this process was suspended. `tokio::time::advance` does
    /// it, between `pause` and `resume` where time is real. All clocks of the runtime jump, so a
    /// world with this fault has a test of its own.
    Jump,
}

/// Checks a registry in all that is promised.
///
/// # Panics
///
/// If a promise is broken.
pub async fn check<W: World>(world: &W) {
    check_source(world).await;
    check_registry(world).await;
}

/// Checks what is promised to those who ask the registry. Its [`registry`](World::registry) may
/// then be the test's own hand, which writes what is to be found.
///
/// # Panics
///
/// If a promise is broken.
pub async fn check_source<W: World>(world: &W) {
    what_is_registered_is_found_until_it_is_taken_back(world).await;
    for fault in world.faults() {
        a_fault_leaves_the_last_good_set(world, *fault).await;
        a_start_during_a_fault_succeeds_later(world, *fault).await;
    }
    a_slow_subscriber_holds_up_nobody(world).await;
    stopping_is_prompt(world).await;
}

/// Checks what is promised to those who register.
///
/// # Panics
///
/// If a promise is broken.
pub async fn check_registry<W: World>(world: &W) {
    what_was_deleted_by_hand_comes_back(world).await;
    for fault in world.faults() {
        a_registration_survives(world, *fault).await;
    }
}

fn instancer(world: &impl World) -> Instancer {
    let discovery = Discovery::new().empty(EmptyAnswer::Hold(Duration::from_secs(30)));
    discovery.start(world.source()).expect("the defaults make sense")
}

async fn see(
    instancer: &mut Instancer,
    within: Duration,
    what: &str,
    seen: impl Fn(&Snapshot) -> bool,
) {
    let wait = async {
        while !seen(&instancer.snapshot()) {
            instancer.changed().await;
        }
    };
    if timeout(within, wait).await.is_err() {
        panic!("{what} within {within:?}, but there is {:?}", instancer.snapshot());
    }
}

/// Whether these are the instances that are seen, as far as the registry has room for them.
fn are(world: &impl World, snapshot: &Snapshot, expected: &[&Instance]) -> bool {
    let expected = expected.iter().map(|instance| world.found((*instance).clone()));
    snapshot.instances().iter().map(|instance| (**instance).clone()).eq(expected)
}

/// An instance with everything that can be said of one.
fn whole(id: &str, port: u16) -> Instance {
    Instance {
        id: id.into(),
        weight: 3,
        zone: Some("eu-1".into()),
        version: Some("1.2.3".into()),
        metadata: [("team".to_owned(), "a=b c\u{fc}\"".to_owned())].into(),
        ..Instance::new(format!("127.0.0.1:{port}"))
    }
}

async fn what_is_registered_is_found_until_it_is_taken_back<W: World>(world: &W) {
    let mut instancer = instancer(world);
    let (a, b) = (whole("conf-a", 7001), whole("conf-b", 7002));
    let first = start(world, &a);
    let second = start(world, &b);
    within(W::SEEN_WITHIN, "a registration stands", first.registered()).await;
    within(W::SEEN_WITHIN, "a registration stands", second.registered()).await;
    see(&mut instancer, W::SEEN_WITHIN, "what is registered is found", |snapshot| {
        are(world, snapshot, &[&a, &b])
    })
    .await;
    assert!(first.deregister().await.is_ok(), "a registration is taken back without an error");
    see(&mut instancer, W::SEEN_WITHIN, "what is taken back is gone", |snapshot| {
        are(world, snapshot, &[&b])
    })
    .await;
    assert!(second.deregister().await.is_ok());
    gone(world, "all went well").await;
}

async fn what_was_deleted_by_hand_comes_back<W: World>(world: &W) {
    let registration = start(world, &whole("conf-a", 7001));
    within(W::SEEN_WITHIN, "a registration stands", registration.registered()).await;
    world.delete("conf-a").await;
    comes_back(world, "a registration that was deleted by hand").await;
    assert!(registration.deregister().await.is_ok());
    gone(world, "it was deleted by hand").await;
}

async fn a_fault_leaves_the_last_good_set<W: World>(world: &W, fault: Fault) {
    let mut instancer = instancer(world);
    let (a, b) = (whole("conf-a", 7001), whole("conf-b", 7002));
    let registration = start(world, &a);
    see(&mut instancer, W::HEALED_WITHIN, "an instance is found", |snapshot| {
        are(world, snapshot, &[&a])
    })
    .await;
    let endpoints = Endpoints::new(instancer.clone(), |instance| Ok(instance.address.clone()));
    world.fault(fault).await;
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let _ = timeout(Duration::from_millis(100), instancer.changed()).await;
        let stays = are(world, &instancer.snapshot(), &[&a]);
        assert!(stays, "{fault:?} took the last good set: {:?}", instancer.snapshot());
        assert_eq!(endpoints.members().len(), 1, "{fault:?} took an endpoint");
    }
    world.heal().await;
    let other = start(world, &b);
    let what = format!("a change is seen after {fault:?}");
    see(&mut instancer, W::HEALED_WITHIN + W::SEEN_WITHIN, &what, |snapshot| {
        are(world, snapshot, &[&a, &b])
    })
    .await;
    assert!(other.deregister().await.is_ok());
    assert!(registration.deregister().await.is_ok());
    gone(world, &format!("{fault:?}")).await;
}

async fn a_registration_survives<W: World>(world: &W, fault: Fault) {
    let registration = start(world, &whole("conf-a", 7001));
    within(W::HEALED_WITHIN, "a registration stands", registration.registered()).await;
    world.fault(fault).await;
    let _ = timeout(Duration::from_secs(2), std::future::pending::<()>()).await;
    world.heal().await;
    comes_back(world, &format!("a registration after {fault:?}")).await;
    assert!(registration.deregister().await.is_ok());
    gone(world, &format!("{fault:?}")).await;
}

async fn a_start_during_a_fault_succeeds_later<W: World>(world: &W, fault: Fault) {
    world.fault(fault).await;
    let mut instancer = instancer(world);
    let a = whole("conf-a", 7001);
    let registration = start(world, &a);
    let _ = timeout(Duration::from_millis(500), instancer.changed()).await;
    world.heal().await;
    let what = format!("one who starts during {fault:?} is found");
    see(&mut instancer, W::HEALED_WITHIN + W::SEEN_WITHIN, &what, |snapshot| {
        are(world, snapshot, &[&a])
    })
    .await;
    assert!(registration.deregister().await.is_ok());
    gone(world, &format!("{fault:?}")).await;
}

async fn a_slow_subscriber_holds_up_nobody<W: World>(world: &W) {
    let mut instancer = instancer(world);
    let never_looks = instancer.clone();
    let a = whole("conf-a", 7001);
    let registration = start(world, &a);
    see(&mut instancer, W::HEALED_WITHIN, "a change is seen beside one who never looks", |seen| {
        are(world, seen, &[&a])
    })
    .await;
    assert!(are(world, &never_looks.snapshot(), &[&a]));
    assert!(registration.deregister().await.is_ok());
    gone(world, "somebody never looked").await;
}

async fn stopping_is_prompt<W: World>(world: &W) {
    let mut instancer = instancer(world);
    instancer.known().await;
    let registration = start(world, &whole("conf-a", 7001));
    registration.registered().await;
    let started = Instant::now();
    drop(instancer);
    assert!(registration.deregister().await.is_ok());
    let took = started.elapsed();
    assert!(took <= Duration::from_millis(100), "stopping took {took:?}");
    gone(world, "a prompt stop").await;
}

fn start(world: &impl World, instance: &Instance) -> crate::Registration {
    let registrar = Registrar::new();
    registrar.start(world.registry(), instance.clone()).expect("the defaults make sense")
}

async fn within(limit: Duration, what: &str, wait: impl Future<Output = ()>) {
    assert!(timeout(limit, wait).await.is_ok(), "{what} within {limit:?}");
}

async fn comes_back<W: World>(world: &W, what: &str) {
    let back = async {
        while world.registered().await != ["conf-a"] {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(W::HEALED_WITHIN, &format!("{what} comes back"), back).await;
}

/// Leaves nothing to the next test.
async fn gone<W: World>(world: &W, after: &str) {
    let empty = async {
        while !world.registered().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(W::HEALED_WITHIN, &format!("what was taken back is gone after {after}"), empty).await;
}
