//! A service of several instances, each of which does what the test says.

use purlin_balancer::{Balance, Balanced, Balancer};
use purlin_endpoint::{BoxEndpoint, Code, Context, Endpoint, Error, endpoint_fn};
use purlin_sd::{Discovery, EmptyAnswer, Endpoints, Instance, Memory};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::sleep;

/// What an instance does with a call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Does {
    pub(crate) takes: Duration,
    pub(crate) fails: Option<Code>,
    /// It never answers.
    pub(crate) hangs: bool,
}

/// The service, and what its instances have seen.
#[derive(Clone)]
pub(crate) struct World {
    registry: Memory,
    instances: Arc<Mutex<BTreeMap<String, (Does, u64)>>>,
}

pub(crate) type Called = BoxEndpoint<(), String>;

/// One method of an instance: a function, so that its type can be named.
pub(crate) type Method = fn(&Called) -> Called;

impl World {
    pub(crate) fn new() -> Self {
        Self { registry: Memory::new(), instances: Arc::default() }
    }

    pub(crate) fn add(&self, instance: &Instance) {
        self.instances.lock().unwrap().entry(instance.id.clone()).or_default();
        self.registry.put("service", instance);
    }

    pub(crate) fn remove(&self, id: &str) {
        self.registry.delete("service", id);
    }

    pub(crate) fn set(&self, id: &str, does: Does) {
        self.instances.lock().unwrap().get_mut(id).unwrap().0 = does;
    }

    /// How many calls each instance has seen since this was asked last.
    pub(crate) fn seen(&self) -> BTreeMap<String, u64> {
        let mut instances = self.instances.lock().unwrap();
        instances.iter_mut().map(|(id, it)| (id.clone(), std::mem::take(&mut it.1))).collect()
    }

    /// Balances over the instances, once they are known.
    pub(crate) async fn balance(&self, balance: Balance) -> Balancer<Called> {
        let discovery = Discovery::new().empty(EmptyAnswer::Believe);
        let mut instancer = discovery.start(self.registry.source("service")).unwrap();
        instancer.known().await;
        let instances = self.instances.clone();
        let endpoints = Endpoints::new(instancer, move |instance| {
            let (id, instances) = (instance.id.clone(), instances.clone());
            Ok(BoxEndpoint::new(endpoint_fn(move |_: Context, ()| {
                let does = {
                    let mut instances = instances.lock().unwrap();
                    let it = instances.get_mut(&id).unwrap();
                    it.1 += 1;
                    it.0
                };
                let id = id.clone();
                async move {
                    if !does.takes.is_zero() {
                        // sleeps: time is paused, and this is how long the call takes.
                        sleep(does.takes).await;
                    }
                    if does.hangs {
                        std::future::pending::<()>().await;
                    }
                    match does.fails {
                        Some(code) => Err(Error::of(code)),
                        None => Ok(id),
                    }
                }
            })))
        });
        balance.over(endpoints).unwrap()
    }
}

pub(crate) fn method(balancer: &Balancer<Called>) -> Balanced<Called, Method> {
    balancer.endpoint(Called::clone as Method)
}

/// Lets tasks do what they have to: time is paused.
pub(crate) async fn settle() {
    // sleeps: time is paused, so this only yields until everything is idle.
    sleep(Duration::from_millis(1)).await;
}

pub(crate) async fn ask(
    service: &impl Endpoint<(), Response = String, Error = Error>,
) -> Result<String, Error> {
    service.invoke(Context::new(), ()).await
}

pub(crate) fn instances(count: usize) -> impl Iterator<Item = Instance> {
    (0..count).map(|index| Instance::new(format!("10.0.0.{index}:1")))
}

pub(crate) async fn world(count: usize) -> World {
    let world = World::new();
    instances(count).for_each(|instance| world.add(&instance));
    world
}
