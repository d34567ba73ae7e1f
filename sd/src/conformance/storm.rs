//! Random faults, one after the other, on a registry in memory and in time that is paused.

use super::{Fault, Truth};
use crate::{
    Discovery, EmptyAnswer, Endpoints, Instance, Instancer, Registrar, Registration, Registry,
    Source,
};
use fastrand::Rng;
use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};
use tokio::{
    runtime::{Builder, Handle},
    time::{Instant, advance, sleep},
};

/// A backend, and a registry of its kind that answers what [`Truth`] says, wrongly too.
pub trait Stormy: Sized {
    /// What can happen to it. [`Fault::Flapping`] is [`Fault::Down`] ten times a second.
    const FAULTS: &'static [Fault];
    /// How long a change takes to be seen at most, while all is well.
    const SEEN_WITHIN: Duration;
    /// How long it takes at most until all is well once the registry is back.
    const HEALED_WITHIN: Duration = Duration::from_secs(2);
    /// Whether a set may be served of which some are left out, which is said as an error.
    const IN_PARTS: bool = false;

    /// Starts the registry.
    fn start(truth: Arc<Truth>) -> impl Future<Output = Self>;

    /// Follows the one service that this is about.
    fn source(&self) -> impl Source;

    /// Registers instances of it.
    fn registry(&self) -> impl Registry;
}

const STEP: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
/// The instance that is registered here.
const ME: &str = "127.0.0.9:7009";
/// One that is always there, so that nobody being there is always a lie.
const ROCK: &str = "127.0.0.1:7001";

/// Tries random faults. A seed decides what happens: there are twenty, or a thousand where
/// `PURLIN_SOAK` is set in the environment, or the one that `SEED` says. Among those who wait for
/// the same change, tokio wakes one or the other first, so a seed may have to be tried again.
///
/// # Panics
///
/// If a promise is broken.
pub fn storms<S: Stormy>() {
    if let Some(seed) = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        return run::<S>(seed);
    }
    let seeds = if std::env::var_os("PURLIN_SOAK").is_some() { 1000 } else { 20 };
    (0..seeds).for_each(run::<S>);
}

/// Says on the way out of a panic how to see it again.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("SEED={} shows this again", self.0);
        }
    }
}

fn run<S: Stormy>(seed: u64) {
    let _told = Told(seed);
    // The jitter of what is tested comes from here too.
    fastrand::seed(seed);
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime starts").block_on(async {
        tokio::spawn(async {
            // Time that is paused goes on when nothing is to be done, which is so while something is
            // on its way between two sockets. By small steps it does not go far meanwhile.
            loop {
                sleep(Duration::from_millis(2)).await;
            }
        });
        let truth = Arc::new(Truth::new());
        let stormy = S::start(truth.clone()).await;
        settle().await;
        let tasks = Handle::current().metrics().num_alive_tasks();
        let mut test = Test::start(&stormy, truth, Rng::with_seed(seed));
        for _ in 0..test.rng.u32(1..4) {
            test.storm::<S>().await;
            test.heals::<S>().await;
        }
        test.stops::<S>().await;
        let left = Handle::current().metrics().num_alive_tasks();
        assert_eq!(left, tasks, "a task is left, or a connection");
    });
}

/// Lets the tasks do what they have to do: time goes on when they have done it.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

struct Test {
    rng: Rng,
    truth: Arc<Truth>,
    instancer: Instancer,
    /// It is not looked at until the end.
    slow: Instancer,
    endpoints: Endpoints<String>,
    registration: Registration,
    /// Who is to come back after everything was lost.
    lost: Vec<Instance>,
    /// Which of the sets that were told is served, ...
    served: usize,
    /// ... and whether anybody is in it.
    full: bool,
}

impl Test {
    fn start<S: Stormy>(stormy: &S, truth: Arc<Truth>, mut rng: Rng) -> Self {
        truth.put(Instance::new(ROCK));
        truth.fault(rng.bool().then(|| any::<S>(&mut rng)));
        // What is held back is not to be believed in all this time.
        let discovery = Discovery::new().empty(EmptyAnswer::Hold(10_000 * HOUR));
        let instancer = discovery.start(stormy.source()).expect("the defaults make sense");
        let endpoints = Endpoints::new(instancer.clone(), |found| Ok(found.address.clone()));
        let registration = Registrar::new().start(stormy.registry(), Instance::new(ME));
        let registration = registration.expect("the defaults make sense");
        Self {
            rng,
            truth,
            slow: instancer.clone(),
            instancer,
            endpoints,
            registration,
            lost: Vec::new(),
            served: 0,
            full: false,
        }
    }

    /// Up to 15 s in which the registry does one thing after another, and what it knows changes.
    async fn storm<S: Stormy>(&mut self) {
        for _ in 0..self.rng.u32(1..4) {
            let fault = any::<S>(&mut self.rng);
            match fault {
                Fault::Jump => advance(HOUR).await,
                Fault::Wiped => self.wipe(),
                _ => {}
            }
            self.truth.fault(Some(fault));
            for step in 0..self.rng.u32(1..100) {
                if fault == Fault::Flapping {
                    self.truth.fault((step % 2 == 0).then_some(Fault::Down));
                }
                match self.rng.u32(0..100) {
                    0..5 => self.change(),
                    5..7 => self.truth.delete(ME),
                    _ => sleep(STEP).await,
                }
                self.check::<S>().await;
            }
        }
    }

    fn wipe(&mut self) {
        let others = |instance: &Instance| instance.id != ME;
        self.lost.extend(self.truth.now().instances.into_values().filter(others));
        self.truth.change(|instances| {
            instances.clear();
            true
        });
    }

    /// Somebody else comes or goes.
    fn change(&mut self) {
        let id = format!("127.0.0.{}:7002", self.rng.u32(2..6));
        if self.truth.now().instances.contains_key(&id) {
            self.truth.delete(&id);
        } else {
            self.truth.put(Instance::new(id));
        }
    }

    /// What is promised at any time. Returns who is served.
    async fn check<S: Stormy>(&mut self) -> BTreeSet<String> {
        settle().await;
        let snapshot = self.instancer.snapshot();
        let served: BTreeSet<String> =
            snapshot.instances().iter().map(|instance| instance.id.clone()).collect();
        let members = self.endpoints.members();
        let members: BTreeSet<String> =
            members.iter().map(|member| member.endpoint().to_string()).collect();
        assert_eq!(members, served, "endpoints are of what is served");
        if !snapshot.is_known() {
            return served;
        }
        let said = self.truth.said();
        let fits = |told: &BTreeSet<String>| match S::IN_PARTS {
            true => served.is_subset(told) && (told.is_empty() || !served.is_empty()),
            false => served == *told,
        };
        let after = said.sets[self.served..].iter().position(fits);
        let after = after.unwrap_or_else(|| {
            panic!("{served:?} is served, but since then {:?} were told", &said.sets[self.served..])
        });
        // A first answer is believed; after a full one, somebody is always there.
        assert!(!(self.full && served.is_empty()), "an empty answer was believed");
        self.full = !served.is_empty();
        self.served += after;
        drop(said);
        self.is_asked_seldom();
        served
    }

    /// About once a second: two at first, and then one each second but for a fifth.
    fn is_asked_seldom(&self) {
        let asked = &self.truth.said().asked;
        for (at, window) in asked.windows(14).enumerate() {
            let took = window[13] - window[0];
            assert!(took >= 8 * SECOND, "14 questions in {took:?}, from the {at}th on");
        }
    }

    /// What is promised once the registry is back.
    async fn heals<S: Stormy>(&mut self) {
        self.truth.fault(None);
        for instance in std::mem::take(&mut self.lost) {
            self.truth.put(instance);
        }
        sleep(S::HEALED_WITHIN).await;
        assert!(self.registration.state().is_registered(), "{:?}", self.registration.state());
        let there = self.truth.now().instances.contains_key(ME);
        assert!(there, "the registry has it back too");
        for _ in 0..self.rng.u32(1..8) {
            let served = self.check::<S>().await;
            let truth = self.truth.now().instances.into_keys().collect();
            let snapshot = self.instancer.snapshot();
            assert_eq!(served, truth, "it is known: {snapshot:?}");
            assert!(snapshot.error().is_none(), "{snapshot:?}");
            self.change();
            sleep(S::SEEN_WITHIN).await;
        }
    }

    async fn stops<S: Stormy>(mut self) {
        let bad = self.rng.bool();
        if bad {
            self.truth.fault(Some(any::<S>(&mut self.rng)));
            sleep(STEP * self.rng.u32(0..40)).await;
        }
        let (late, known) = (self.slow.changed().await, self.instancer.snapshot());
        let last = Arc::ptr_eq(late.instances(), known.instances());
        assert!(last, "who never looked sees the last: {late:?} is not {known:?}");
        let stopping = Instant::now();
        drop((self.instancer, self.slow, self.endpoints));
        let ended = self.registration.deregister().await;
        assert!(ended.is_ok() || bad, "{ended:?}");
        let there = self.truth.now().instances.contains_key(ME);
        assert!(ended.is_err() || bad || !there, "what is taken back is gone");
        let most = if bad { 3 * SECOND } else { SECOND / 10 };
        assert!(stopping.elapsed() <= most, "stopping took {:?}", stopping.elapsed());
        // Whoever was connected hears of it.
        self.truth.fault(None);
        sleep(SECOND / 10).await;
    }
}

fn any<S: Stormy>(rng: &mut Rng) -> Fault {
    S::FAULTS[rng.usize(..S::FAULTS.len())]
}
