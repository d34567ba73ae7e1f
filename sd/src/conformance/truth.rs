//! What a registry in memory is to say.

use super::Fault;
use crate::Instance;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
};
use tokio::{sync::watch, time::Instant};

/// What there is to know, and what has been said of it.
#[derive(Debug)]
pub struct Truth {
    now: watch::Sender<State>,
    said: Mutex<Said>,
}

/// What there is to know at one time.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// What happens to the registry.
    pub fault: Option<Fault>,
    /// The instances that it knows, by their ids.
    pub instances: BTreeMap<String, Instance>,
    /// How often this has changed.
    pub revision: u64,
}

#[derive(Debug, Default)]
pub(super) struct Said {
    /// The sets that were told, one after the other.
    pub(super) sets: Vec<BTreeSet<String>>,
    /// When a source has asked.
    pub(super) asked: Vec<Instant>,
}

impl Truth {
    pub(super) fn new() -> Self {
        Self { now: watch::Sender::default(), said: Mutex::default() }
    }

    /// What there is to know now.
    pub fn now(&self) -> State {
        self.now.borrow().clone()
    }

    /// A watch of what there is to know.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.now.subscribe()
    }

    /// The registry knows this instance from now on.
    pub fn put(&self, instance: Instance) {
        self.change(|instances| {
            let new = instances.get(&instance.id) != Some(&instance);
            instances.insert(instance.id.clone(), instance);
            new
        });
    }

    /// The registry knows this instance no more.
    pub fn delete(&self, id: &str) {
        self.change(|instances| instances.remove(id).is_some());
    }

    /// The registry has answered with the set of these; whether that arrives is another matter.
    pub fn told<'a>(&self, ids: impl IntoIterator<Item = &'a String>) {
        self.said().sets.push(ids.into_iter().cloned().collect());
    }

    /// A source has asked for a set.
    pub fn asked(&self) {
        self.said().asked.push(Instant::now());
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Instance>) -> bool) {
        self.now.send_if_modified(|now| {
            let changed = change(&mut now.instances);
            now.revision += u64::from(changed);
            changed
        });
    }

    pub(super) fn fault(&self, fault: Option<Fault>) {
        self.now.send_if_modified(|now| {
            let changed = std::mem::replace(&mut now.fault, fault) != fault;
            now.revision += u64::from(changed);
            changed
        });
    }

    pub(super) fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().expect("nobody panics while it is held")
    }
}
