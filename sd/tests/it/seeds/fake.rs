//! The registry, and the model of what those who ask it serve.

use fastrand::Rng;
use purlin_endpoint::{Code, Error};
use purlin_sd::{Found, Instance, Registry, Source, Standing};
use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// How long those who ask wait for an answer.
const PATIENCE: Duration = Duration::from_millis(700);
/// How much later than their time timers may be.
const LATE: Duration = Duration::from_millis(2);

/// How the registry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    Fine,
    /// Whatever is asked, it fails.
    Fails,
    /// It answers nothing until that changes.
    Hangs,
    /// It answers, and its connections break right then.
    Breaks,
    /// It says that there is nobody.
    Empty,
    /// It says what was so a while ago.
    Stale,
    /// It [fails](Self::Fails) and is fine in turn.
    Flaps,
}

impl Weather {
    pub(super) fn any(rng: &mut Rng) -> Self {
        use Weather::{Breaks, Empty, Fails, Fine, Flaps, Hangs, Stale};
        *rng.choice(&[Fine, Fails, Hangs, Breaks, Empty, Stale, Flaps]).unwrap()
    }
}

#[derive(Clone, Debug)]
struct World {
    weather: Weather,
    truth: BTreeSet<String>,
    past: BTreeSet<String>,
}

/// What the registry has said, and what follows from it.
#[derive(Clone, Debug)]
pub(super) struct Said {
    hold: Duration,
    /// The last good set.
    good: Vec<String>,
    /// Since when it has said that there is nobody, after having said otherwise.
    empty_since: Option<Instant>,
    /// It failed when the doubt was to end, as after a jump: it may have been believed, or not.
    open: bool,
    pub(super) known: bool,
    pub(super) registered: bool,
    pub(super) follows: Gaps,
    pub(super) keeps: Gaps,
}

impl Said {
    /// Whether this may be what is served now.
    pub(super) fn served(&self, ids: &[&str], now: Instant) -> bool {
        let held = self.empty_since.map_or(Duration::ZERO, |since| now - since);
        let empty = (self.open || held >= self.hold) && ids.is_empty();
        let good = held <= self.hold + LATE && self.good == ids;
        empty || good
    }

    fn found(&mut self, ids: &BTreeSet<String>) {
        self.known = true;
        if ids.is_empty() && !self.good.is_empty() {
            self.empty_since.get_or_insert_with(Instant::now);
        } else {
            self.good = ids.iter().cloned().collect();
            (self.empty_since, self.open) = (None, false);
        }
    }

    fn failed(&mut self) {
        let over = |since: Instant| since.elapsed() >= self.hold;
        self.open |= self.empty_since.take().is_some_and(over);
    }
}

/// How soon after each other things were asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gaps {
    last: Option<Instant>,
    pub(super) shortest: Duration,
}

impl Gaps {
    const NONE: Self = Self { last: None, shortest: Duration::MAX };

    fn ask(&mut self) {
        if let Some(last) = self.last.replace(Instant::now()) {
            self.shortest = self.shortest.min(last.elapsed());
        }
    }
}

pub(super) struct Fake {
    world: watch::Sender<World>,
    said: Mutex<Said>,
}

impl Fake {
    pub(super) fn new(hold: Duration, weather: Weather) -> Self {
        // This one is always there, so that nobody being there is always a lie.
        let truth = BTreeSet::from(["rock".to_owned()]);
        let said = Said {
            hold,
            good: Vec::new(),
            empty_since: None,
            open: false,
            known: false,
            registered: false,
            follows: Gaps::NONE,
            keeps: Gaps::NONE,
        };
        let (world, _) = watch::channel(World { weather, past: truth.clone(), truth });
        Self { world, said: said.into() }
    }

    pub(super) fn source(self: &Arc<Self>) -> impl Source {
        Asked(self.clone())
    }

    pub(super) fn registry(self: &Arc<Self>) -> impl Registry {
        Asked(self.clone())
    }

    pub(super) fn said(&self) -> Said {
        self.lock().clone()
    }

    pub(super) fn truth(&self) -> BTreeSet<String> {
        self.world.borrow().truth.clone()
    }

    pub(super) fn weather(&self, weather: Weather) {
        self.world.send_modify(|world| {
            world.weather = weather;
            world.past.clone_from(&world.truth);
        });
    }

    /// Somebody else comes or goes.
    pub(super) fn change(&self, rng: &mut Rng) {
        let id = format!("other-{}", rng.u32(0..4));
        self.world.send_modify(|world| {
            if !world.truth.remove(&id) {
                world.truth.insert(id);
            }
        });
    }

    pub(super) fn forget(&self, id: &str) {
        self.world.send_modify(|world| _ = world.truth.remove(id));
    }

    /// It has been seen that nobody is served any more.
    pub(super) fn believed(&self) {
        let mut said = self.lock();
        said.good.clear();
        (said.empty_since, said.open) = (None, false);
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap()
    }

    fn say(&self, found: &Found, ids: &BTreeSet<String>) {
        self.lock().found(ids);
        found.set(ids.iter().map(Instance::new).collect());
    }
}

struct Asked(Arc<Fake>);

impl Asked {
    /// Why following ends.
    async fn follows(&self, found: &Found) -> Error {
        let mut world = self.0.world.subscribe();
        loop {
            sleep(latency()).await;
            let World { weather, truth, past } = world.borrow_and_update().clone();
            match weather {
                Weather::Fails | Weather::Flaps => return Error::of(Code::Unavailable),
                Weather::Hangs if timeout(PATIENCE, world.changed()).await.is_err() => {
                    return Error::of(Code::DeadlineExceeded);
                }
                Weather::Hangs => continue,
                Weather::Fine => self.0.say(found, &truth),
                Weather::Breaks => {
                    self.0.say(found, &truth);
                    return Error::of(Code::Aborted);
                }
                Weather::Empty => self.0.say(found, &BTreeSet::new()),
                Weather::Stale => self.0.say(found, &past),
            }
            world.changed().await.unwrap();
        }
    }

    /// Why keeping ends.
    async fn keeps(&self, id: &str, standing: &Standing) -> Error {
        let mut world = self.0.world.subscribe();
        let mut registered = false;
        loop {
            sleep(latency()).await;
            let World { weather, truth, .. } = world.borrow_and_update().clone();
            match weather {
                Weather::Fails | Weather::Flaps => return Error::of(Code::Unavailable),
                Weather::Breaks if registered => return Error::of(Code::Aborted),
                Weather::Hangs => {
                    if timeout(PATIENCE, world.changed()).await.is_err() {
                        return Error::of(Code::DeadlineExceeded);
                    }
                    continue;
                }
                _ => {}
            }
            if registered && !truth.contains(id) {
                return Error::of(Code::NotFound);
            }
            if !registered {
                self.0.world.send_modify(|world| _ = world.truth.insert(id.to_owned()));
                world.borrow_and_update();
                registered = true;
            }
            standing.registered();
            self.0.lock().registered = true;
            if weather == Weather::Breaks {
                return Error::of(Code::Aborted);
            }
            world.changed().await.unwrap();
        }
    }
}

impl Source for Asked {
    async fn follow(&mut self, found: &Found) -> Result<Infallible, Error> {
        self.0.lock().follows.ask();
        let failed = self.follows(found).await;
        self.0.lock().failed();
        Err(failed)
    }
}

impl Registry for Asked {
    async fn keep(
        &mut self,
        instance: &Instance,
        standing: &Standing,
    ) -> Result<Infallible, Error> {
        self.0.lock().keeps.ask();
        let lost = self.keeps(&instance.id, standing).await;
        self.0.lock().registered = false;
        Err(lost)
    }

    async fn withdraw(&mut self, instance: &Instance) -> Result<(), Error> {
        let mut world = self.0.world.subscribe();
        sleep(latency()).await;
        loop {
            let weather = world.borrow_and_update().weather;
            match weather {
                Weather::Fails | Weather::Flaps => return Err(Error::of(Code::Unavailable)),
                Weather::Hangs => world.changed().await.unwrap(),
                _ => break,
            }
        }
        self.0.forget(&instance.id);
        Ok(())
    }
}

/// How long an answer takes.
fn latency() -> Duration {
    Duration::from_millis(fastrand::u64(0..10))
}
