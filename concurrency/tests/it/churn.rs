//! Random calls against a model that knows only how many may run and who comes first.

use crate::MILLI;
use futures_util::{FutureExt as _, future::BoxFuture};
use purlin_concurrency::{ConcurrencyLimit, Shed};
use purlin_endpoint::{Context, Criticality, Error, Layer as _, endpoint_fn};
use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    sync::oneshot,
    task::unconstrained,
    time::{Instant, advance},
};

const LEVELS: [Criticality; 4] = [
    Criticality::Sheddable,
    Criticality::SheddablePlus,
    Criticality::Critical,
    Criticality::CriticalPlus,
];
const QUEUE: usize = 6;

#[derive(Clone, Copy, Debug)]
struct Waits {
    call: u32,
    level: usize,
    until: Instant,
    shed: Shed,
}

/// What should happen, said as simply as possible.
struct Model {
    limit: u32,
    running: Vec<u32>,
    waiting: Vec<Waits>,
    since: Instant,
    refused: BTreeMap<u32, Shed>,
}

impl Model {
    fn has_room(&self, level: usize) -> bool {
        let share = [0.5, 0.75, 1.0, 1.0][level];
        (self.running.len() as f64) < (f64::from(self.limit) * share).round().max(1.0)
    }

    fn stands(&self) -> bool {
        Instant::now() - self.since >= 10 * MILLI
    }

    /// Those who wait at this level, the next of them first.
    fn at(&self, level: usize) -> Vec<u32> {
        let of = self.waiting.iter().filter(|waits| waits.level == level);
        let mut calls: Vec<_> = of.map(|waits| waits.call).collect();
        if self.stands() {
            calls.reverse();
        }
        calls
    }

    fn arrive(&mut self, call: u32, level: usize, deadline: Option<Instant>) {
        let patient = Instant::now() + 20 * MILLI;
        let behind = self.waiting.iter().any(|waits| waits.level >= level);
        if self.has_room(level) && !behind {
            return self.running.push(call);
        }
        if self.waiting.len() == QUEUE {
            let last = (0..level).find_map(|less| self.at(less).pop());
            let Some(last) = last else {
                self.refused.insert(call, Shed::Full);
                return;
            };
            self.waiting.retain(|waits| waits.call != last);
            self.refused.insert(last, Shed::Displaced);
        } else if self.waiting.is_empty() {
            self.since = Instant::now();
        }
        let (until, shed) = match deadline {
            Some(deadline) if deadline <= patient => (deadline, Shed::Expired),
            _ => (patient, Shed::Waited),
        };
        self.waiting.push(Waits { call, level, until, shed });
    }

    fn leave(&mut self, call: u32) {
        self.running.retain(|&running| running != call);
        self.waiting.retain(|waits| waits.call != call);
        self.let_in();
    }

    fn let_in(&mut self) {
        while let Some(level) = self.waiting.iter().map(|waits| waits.level).max()
            && self.has_room(level)
        {
            let next = self.at(level)[0];
            self.waiting.retain(|waits| waits.call != next);
            self.running.push(next);
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        for waits in self.waiting.extract_if(.., |waits| waits.until <= now) {
            self.refused.insert(waits.call, waits.shed);
        }
    }
}

/// A call that is polled by hand.
struct Call {
    future: BoxFuture<'static, Result<(), Error>>,
    entered: Arc<AtomicBool>,
    /// Tells the handler to answer, or to panic.
    told: oneshot::Sender<bool>,
}

fn operations() -> u32 {
    if std::env::var_os("PURLIN_SOAK").is_some() { 10_000_000 } else { 100_000 }
}

#[tokio::test(start_paused = true)]
async fn permits_and_places_agree_with_the_model_and_none_is_ever_lost() {
    // What the runtime allows a task in one go must not make a call look as if it waited.
    unconstrained(churn(operations())).await;
}

async fn churn(operations: u32) {
    let config = |limit: u32| {
        let config = ConcurrencyLimit::new(limit).queue(QUEUE as u32);
        config.patience(20 * MILLI).standing(10 * MILLI)
    };
    let layer = config(4).layer().unwrap();
    let handle = layer.handle();
    let service = layer.layer(endpoint_fn(
        |_: Context, (entered, told): (Arc<AtomicBool>, oneshot::Receiver<bool>)| async move {
            entered.store(true, Ordering::SeqCst);
            assert!(told.await.unwrap(), "it was told to");
            Ok::<_, Error>(())
        },
    ));
    let mut random = fastrand::Rng::with_seed(7);
    let since = Instant::now();
    let (running, waiting, refused) = Default::default();
    let mut model = Model { limit: 4, running, waiting, since, refused };
    let mut calls = BTreeMap::<u32, Call>::new();
    // How often a call was refused for each reason.
    let mut seen = [0; 4];
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    for operation in 0..operations {
        let any = |of: Vec<u32>, draw: usize| (!of.is_empty()).then(|| of[draw % of.len()]);
        let waits = |model: &Model| model.waiting.iter().map(|waits| waits.call).collect();
        match random.u32(..100) {
            0..45 => {
                let level = random.usize(..4);
                let deadline = random.bool().then(|| Instant::now() + random.u32(1..40) * MILLI);
                let mut context = Context::new().with_criticality(LEVELS[level]);
                if let Some(deadline) = deadline {
                    context = context.with_deadline(deadline);
                }
                let (told, hears) = oneshot::channel();
                let entered = Arc::new(AtomicBool::new(false));
                let mut service = service.clone();
                let request = purlin_endpoint::Request::new(context, (entered.clone(), hears));
                let future = tower::Service::call(&mut service, request).boxed();
                calls.insert(operation, Call { future, entered, told });
                model.arrive(operation, level, deadline);
            }
            kind @ 45..75 => {
                let Some(call) = any(model.running.clone(), random.usize(..)) else { continue };
                let Call { mut future, told, .. } = calls.remove(&call).unwrap();
                // Answered, panicked, or dropped.
                if kind < 70 {
                    told.send(kind < 60).unwrap();
                    let ended = AssertUnwindSafe(&mut future).catch_unwind().now_or_never();
                    assert_eq!(ended.unwrap().is_ok(), kind < 60);
                }
                drop(future);
                model.leave(call);
            }
            75..80 => {
                let Some(call) = any(waits(&model), random.usize(..)) else { continue };
                drop(calls.remove(&call));
                model.leave(call);
            }
            80..98 => {
                advance(random.u32(..6) * MILLI).await;
                model.expire();
            }
            _ => {
                model.limit = random.u32(1..9);
                handle.update(config(model.limit)).unwrap();
                model.let_in();
            }
        }
        for shed in compare(&mut calls, &mut model) {
            seen[shed as usize] += 1;
        }
        assert_eq!(handle.in_flight() as usize, model.running.len());
        assert_eq!(handle.waiting() as usize, model.waiting.len());
    }
    std::panic::set_hook(hook);
    assert!(seen.iter().all(|&often| often > operations / 1000), "{seen:?} is not all there is");
    drop(calls);
    assert_eq!((handle.in_flight(), handle.waiting()), (0, 0));
}

/// Polls every call, and compares what has become of it.
fn compare(calls: &mut BTreeMap<u32, Call>, model: &mut Model) -> Vec<Shed> {
    let (mut running, mut refused) = (Vec::new(), Vec::new());
    calls.retain(|&name, call| {
        match (&mut call.future).now_or_never() {
            None if call.entered.load(Ordering::SeqCst) => running.push(name),
            None => {}
            Some(outcome) => {
                let shed = *outcome.unwrap_err().find::<Shed>().unwrap();
                assert_eq!(model.refused.remove(&name), Some(shed), "{name}");
                refused.push(shed);
                return false;
            }
        }
        true
    });
    model.running.sort_unstable();
    assert_eq!(running, model.running);
    assert!(model.refused.is_empty(), "{:?} should have been refused", model.refused);
    refused
}
