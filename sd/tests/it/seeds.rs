//! A registry that fails in random ways, in time that is simulated, beside a model of what is to be
//! served. A seed decides everything; `SEED=7` tries one alone, `PURLIN_SOAK` a thousand.

mod fake;

use fake::{Fake, Weather};
use fastrand::Rng;
use purlin_sd::{Discovery, EmptyAnswer, Endpoints, Instance, Instancer, Registrar, Registration};
use std::{sync::Arc, time::Duration};
use tokio::{
    runtime::{Builder, Handle},
    task::yield_now,
    time::{Instant, advance, sleep},
};

/// How often the driver looks, and how often a flapping registry changes.
const STEP: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn whatever_a_registry_does_the_last_good_set_is_served_and_all_is_well_soon_after() {
    if let Ok(seed) = std::env::var("SEED") {
        return run(seed.parse().unwrap());
    }
    let seeds = if std::env::var_os("PURLIN_SOAK").is_some() { 1000 } else { 200 };
    (0..seeds).for_each(run);
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

fn run(seed: u64) {
    let _told = Told(seed);
    // The jitter of what is tested comes from here too.
    fastrand::seed(seed);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut test = Test::start(Rng::with_seed(seed));
        for _ in 0..test.rng.u32(2..6) {
            test.storm().await;
            test.heals().await;
        }
        test.stops().await;
    });
}

/// The instance that is registered here.
const ME: &str = "me";

struct Test {
    rng: Rng,
    fake: Arc<Fake>,
    instancer: Instancer,
    /// It is never asked until the end.
    slow: Instancer,
    endpoints: Endpoints<String>,
    registration: Registration,
}

impl Test {
    fn start(mut rng: Rng) -> Self {
        let hold = Duration::from_secs(*rng.choice(&[2, 30]).unwrap());
        let fake = Arc::new(Fake::new(hold, Weather::any(&mut rng)));
        let discovery = Discovery::new().empty(EmptyAnswer::Hold(hold));
        let instancer = discovery.start(fake.source()).unwrap();
        let endpoints = Endpoints::new(instancer.clone(), |found| Ok(found.address.clone()));
        let registration = Registrar::new().start(fake.registry(), Instance::new(ME)).unwrap();
        Self { rng, slow: instancer.clone(), fake, instancer, endpoints, registration }
    }

    /// Up to 20 s in which the registry does one thing after another, and what it knows changes.
    async fn storm(&mut self) {
        for _ in 0..self.rng.u32(1..5) {
            let weather = Weather::any(&mut self.rng);
            self.fake.weather(weather);
            for step in 0..self.rng.u32(1..100) {
                if weather == Weather::Flaps {
                    self.fake.weather(if step % 2 == 0 { Weather::Flaps } else { Weather::Fine });
                }
                match self.rng.u32(0..200) {
                    0..10 => self.fake.change(&mut self.rng),
                    10..14 => self.fake.forget(ME),
                    14 => advance(HOUR).await,
                    _ => sleep(STEP).await,
                }
                self.check().await;
            }
        }
    }

    /// What is promised at any time.
    async fn check(&self) {
        // All that can be done at this time is done.
        for _ in 0..16 {
            yield_now().await;
        }
        let snapshot = self.instancer.snapshot();
        let served: Vec<&str> = snapshot.instances().iter().map(|instance| &*instance.id).collect();
        let said = self.fake.said();
        assert_eq!(snapshot.is_known(), said.known);
        assert!(said.served(&served, Instant::now()), "served {served:?} after {said:?}");
        if served.is_empty() {
            self.fake.believed();
        }
        let members = self.endpoints.members();
        let members: Vec<&str> = members.iter().map(|member| member.endpoint().as_str()).collect();
        assert_eq!(members, served, "endpoints are of what is served");
        assert_eq!(self.registration.state().is_registered(), said.registered, "{said:?}");
        // Once a second, but for the jitter of a fifth.
        assert!(said.follows.shortest >= SECOND * 8 / 10, "{said:?}");
        assert!(said.keeps.shortest >= SECOND * 4 / 10, "{said:?}");
    }

    /// What is promised once the registry is back.
    async fn heals(&mut self) {
        self.fake.weather(Weather::Fine);
        sleep(SECOND).await;
        self.check().await;
        assert!(self.registration.state().is_registered(), "it is back within 1 s");
        assert!(self.fake.truth().iter().any(|id| id == ME), "the registry has it back too");
        sleep(SECOND).await;
        for _ in 0..self.rng.u32(1..20) {
            self.check().await;
            let snapshot = self.instancer.snapshot();
            let served = snapshot.instances().iter().map(|instance| instance.id.clone());
            assert!(served.eq(self.fake.truth()), "it is known within 2 s: {snapshot:?}");
            assert!(snapshot.error().is_none(), "{snapshot:?}");
            self.fake.change(&mut self.rng);
            sleep(STEP).await;
        }
    }

    async fn stops(mut self) {
        let known = self.instancer.snapshot();
        let late = self.slow.changed().await;
        assert!(Arc::ptr_eq(late.instances(), known.instances()), "who never looked sees the last");
        let (gone, bad) = (self.rng.bool(), self.rng.bool());
        if bad {
            self.fake.weather(Weather::any(&mut self.rng));
            sleep(STEP * self.rng.u32(0..40)).await;
        }
        drop((self.instancer, self.slow, self.endpoints));
        let stopping = Instant::now();
        if gone {
            drop(self.registration);
        } else {
            let ended = self.registration.deregister().await;
            let there = self.fake.truth().iter().any(|id| id == ME);
            assert!(ended.is_err() || !there, "what is taken back is gone");
            assert!(ended.is_ok() || bad, "{ended:?}");
        }
        let most = if bad && !gone { 3 * SECOND } else { SECOND / 10 };
        assert!(stopping.elapsed() <= most, "stopping took {:?}", stopping.elapsed());
        sleep(Duration::from_millis(1)).await;
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "a task is left");
    }
}
