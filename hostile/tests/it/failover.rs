//! Two of five instances are bad for ten minutes, others each time, and callers do not notice.

use crate::world::soak;
use fastrand::Rng;
use purlin_balancer::Balance;
use purlin_endpoint::{
    BoxEndpoint, Code, Context, Endpoint as _, Error, Method, MethodLayer, endpoint_fn,
};
use purlin_retry::Retry;
use purlin_sd::{Discovery, Endpoints, Instance, Memory};
use purlin_timeout::Timeout;
use std::{
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tower::ServiceBuilder;

static GET: Method = Method::unary("hostile.Failover", "Get").idempotent();

const SERVICE: &str = "failover";
const LASTS: Duration = Duration::from_secs(600);
/// How long an instance that is well takes.
const TAKES: Duration = Duration::from_millis(10);
/// How long the registry keeps the entry of a process that is gone.
const TIME_TO_LIVE: Duration = Duration::from_secs(15);
/// So many failures in a row, and an instance is known to be dead, whatever became of that.
const KNOWN: u32 = 5;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Its connections are refused, and the registry forgets it in time.
    Killed,
    /// It never answers, and the registry has it all the same.
    Blackholed,
    /// It takes ten times as long.
    Slowed,
    /// It breaks off each call.
    Reset,
}

const FAULTS: [Fault; 4] = [Fault::Killed, Fault::Blackholed, Fault::Slowed, Fault::Reset];

/// The instances, and what they have seen.
#[derive(Default)]
struct World {
    registry: Memory,
    instances: Mutex<[State; 5]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    fault: Option<Fault>,
    failed_in_a_row: u32,
    /// Calls that came, those while it was dead, and those of them when that was known.
    seen: u64,
    in_vain: u64,
    knowingly: u64,
}

impl State {
    fn is_dead(&self) -> bool {
        self.fault.is_some_and(|fault| fault != Fault::Slowed)
    }
}

impl World {
    fn instances(&self) -> MutexGuard<'_, [State; 5]> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn strike(&self, index: usize, fault: Option<Fault>) {
        let instance = &mut self.instances()[index];
        (instance.fault, instance.failed_in_a_row) = (fault, 0);
    }

    fn register(&self, index: usize) {
        self.registry.put(SERVICE, &Instance::new(index.to_string()));
    }

    /// A call that an instance gets.
    async fn call(self: Arc<Self>, index: usize) -> Result<(), Error> {
        let mut call = Answered { world: self, index, well: false };
        let began = call.begins();
        if began == Some(Fault::Killed) {
            return Err(Error::new(Code::Unavailable, "connection refused").unreached());
        }
        // sleeps: time is paused, and this is how long the call takes.
        sleep(if began == Some(Fault::Slowed) { 10 * TAKES } else { TAKES }).await;
        let ends = call.world.instances()[index].fault;
        match ends {
            None | Some(Fault::Slowed) => {
                call.well = true;
                Ok(())
            }
            Some(Fault::Blackholed) => pending().await,
            Some(Fault::Killed | Fault::Reset) => {
                Err(Error::new(Code::Unavailable, "connection reset"))
            }
        }
    }

    /// One instance after another is struck by something, for a while.
    async fn misfortune(self: Arc<Self>, mut random: Rng) {
        loop {
            let index = loop {
                let index = random.usize(..5);
                if self.instances()[index].fault.is_none() {
                    break index;
                }
            };
            let fault = FAULTS[random.usize(..4)];
            self.strike(index, Some(fault));
            let lasts = Duration::from_millis(random.u64(2_000..45_000));
            if fault == Fault::Killed && lasts > TIME_TO_LIVE {
                // sleeps: time is paused.
                sleep(TIME_TO_LIVE).await;
                self.registry.delete(SERVICE, &index.to_string());
                // sleeps: time is paused.
                sleep(lasts - TIME_TO_LIVE).await;
            } else {
                // sleeps: time is paused.
                sleep(lasts).await;
            }
            self.strike(index, None);
            self.register(index);
        }
    }
}

/// Counts a call as failed unless it was answered, also if its caller gave up.
struct Answered {
    world: Arc<World>,
    index: usize,
    well: bool,
}

impl Answered {
    fn begins(&self) -> Option<Fault> {
        let instance = &mut self.world.instances()[self.index];
        instance.seen += 1;
        instance.in_vain += u64::from(instance.is_dead());
        instance.knowingly += u64::from(instance.is_dead() && instance.failed_in_a_row >= KNOWN);
        instance.fault
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        let instance = &mut self.world.instances()[self.index];
        instance.failed_in_a_row = if self.well { 0 } else { instance.failed_in_a_row + 1 };
    }
}

/// What came of the calls, and of their attempts: all, those to one that was dead, and those of
/// them to one of which that was known.
#[derive(Debug, Default)]
struct Outcome {
    calls: u32,
    failed: u32,
    repeated: u64,
    seen: u64,
    in_vain: u64,
    knowingly: u64,
}

/// Calls for ten minutes through what a client has, all but the balance as it is by default.
async fn failover(balance: Balance, seed: u64) -> Outcome {
    fastrand::seed(seed);
    let world = Arc::new(World::default());
    (0..5).for_each(|index| world.register(index));
    let mut instancer = Discovery::new().start(world.registry.source(SERVICE)).unwrap();
    instancer.known().await;
    let called = world.clone();
    let endpoints = Endpoints::new(instancer, move |instance| {
        let (world, index) = (called.clone(), instance.address.parse().map_err(Error::internal)?);
        Ok(BoxEndpoint::new(endpoint_fn(move |_: Context, ()| world.clone().call(index))))
    });
    let balancer = balance.over(endpoints).unwrap();
    let retry = Retry::attempts(3).attempt_timeout(Duration::from_millis(250)).layer().unwrap();
    let repeats = retry.handle();
    let service = ServiceBuilder::new()
        .layer(MethodLayer::new(&GET))
        .layer(Timeout::new(Duration::from_secs(2)).layer().unwrap())
        .layer(retry)
        .service(balancer.endpoint(|instance: &BoxEndpoint<(), ()>| instance.clone()));

    let mut misfortunes = JoinSet::new();
    misfortunes.spawn(world.clone().misfortune(Rng::with_seed(seed)));
    misfortunes.spawn(world.clone().misfortune(Rng::with_seed(seed + 1)));
    let mut outcome =
        Outcome { calls: if soak() { 1_000_000 } else { 100_000 }, ..Outcome::default() };
    let (begun, every) = (Instant::now(), LASTS / outcome.calls);
    let mut calls = JoinSet::new();
    for call in 0..outcome.calls {
        // sleeps: time is paused, and calls come evenly.
        sleep_until(begun + every * call).await;
        let service = service.clone();
        calls.spawn(async move { service.invoke(Context::new(), ()).await });
        while let Some(ended) = calls.try_join_next() {
            outcome.failed += u32::from(ended.unwrap().is_err());
        }
    }
    while let Some(ended) = calls.join_next().await {
        outcome.failed += u32::from(ended.unwrap().is_err());
    }
    outcome.repeated = repeats.repeats();
    for instance in *world.instances() {
        outcome.seen += instance.seen;
        outcome.in_vain += instance.in_vain;
        outcome.knowingly += instance.knowingly;
    }
    outcome
}

#[tokio::test(start_paused = true)]
async fn two_of_five_instances_may_fail_in_any_way_for_ten_minutes() {
    let balances = [Balance::default(), Balance::least_request()];
    for (balance, seed) in balances.iter().flat_map(|it| [5, 50, 5000].map(|seed| (it, seed))) {
        let outcome = failover(balance.clone(), seed).await;
        println!("seed {seed}: {outcome:?}");
        assert!(outcome.in_vain > 50, "the faults are felt: seed {seed}: {outcome:?}");
        let (failed, knowingly) = (f64::from(outcome.failed), outcome.knowingly as f64);
        assert!(failed <= 0.0001 * f64::from(outcome.calls), "seed {seed}: {outcome:?}");
        assert!(knowingly <= 0.001 * outcome.seen as f64, "seed {seed}: {outcome:?}");
    }
}
