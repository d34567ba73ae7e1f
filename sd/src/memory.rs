use crate::{Found, Instance, Registry, Source, Standing};
use purlin_endpoint::Error;
use std::{collections::BTreeMap, convert::Infallible, sync::Arc};
use tokio::sync::watch;

/// A registry within the process: for services that live in one, and for tests.
///
/// Clones are the same registry.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    services: Arc<watch::Sender<Services>>,
}

type Services = BTreeMap<String, BTreeMap<String, Instance>>;

impl Memory {
    /// A registry that knows nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Follows the instances of a service.
    pub fn source(&self, service: impl Into<String>) -> MemorySource {
        MemorySource { services: self.services.subscribe(), service: service.into() }
    }

    /// Registers instances of a service.
    pub fn registry(&self, service: impl Into<String>) -> MemoryRegistry {
        MemoryRegistry { memory: self.clone(), service: service.into() }
    }

    /// The instances of a service, as they are registered now.
    pub fn instances(&self, service: &str) -> Vec<Instance> {
        let services = self.services.borrow();
        services.get(service).map(|known| known.values().cloned().collect()).unwrap_or_default()
    }

    /// Writes an instance of a service by hand: nobody keeps it.
    pub fn put(&self, service: &str, instance: &Instance) {
        self.services.send_if_modified(|services| {
            let known = services.entry(service.to_owned()).or_default();
            known.insert(instance.id.clone(), instance.clone()).as_ref() != Some(instance)
        });
    }

    /// Forgets an instance of a service, which whoever registered it notices.
    pub fn delete(&self, service: &str, id: &str) {
        self.services.send_if_modified(|services| {
            services.get_mut(service).is_some_and(|service| service.remove(id).is_some())
        });
    }

    /// Forgets everything, which those who are registered notice.
    pub fn wipe(&self) {
        self.services.send_replace(Services::new());
    }
}

/// Follows one service in a [`Memory`].
#[derive(Debug)]
pub struct MemorySource {
    services: watch::Receiver<Services>,
    service: String,
}

impl Source for MemorySource {
    async fn follow(&mut self, found: &Found) -> Result<Infallible, Error> {
        loop {
            let instances = self.services.borrow_and_update().get(&self.service).cloned();
            found.set(instances.unwrap_or_default().into_values().collect());
            self.services.changed().await.map_err(|_| gone())?;
        }
    }
}

/// Registers instances of one service in a [`Memory`].
#[derive(Debug)]
pub struct MemoryRegistry {
    memory: Memory,
    service: String,
}

impl Registry for MemoryRegistry {
    async fn keep(
        &mut self,
        instance: &Instance,
        standing: &Standing,
    ) -> Result<Infallible, Error> {
        let mut watch = self.memory.services.subscribe();
        loop {
            self.memory.put(&self.service, instance);
            standing.registered();
            watch.borrow_and_update();
            watch.changed().await.map_err(|_| gone())?;
        }
    }

    async fn withdraw(&mut self, instance: &Instance) -> Result<(), Error> {
        self.memory.delete(&self.service, &instance.id);
        Ok(())
    }
}

fn gone() -> Error {
    Error::internal("the registry in memory is gone")
}
