//! An etcd in memory that fails in random ways.

mod link;
mod member;
mod store;

use crate::Etcd;
use link::Network;
use purlin_sd::{
    Registry, Source,
    conformance::{Fault, Stormy, Truth, storms},
};
use std::{sync::Arc, time::Duration};
use store::Store;
use tokio::{task::JoinSet, time::sleep};

struct Cluster {
    etcd: Etcd,
    _task: JoinSet<()>,
}

impl Stormy for Cluster {
    const FAULTS: &'static [Fault] = &[
        Fault::Down,
        Fault::Hang,
        Fault::Reset,
        Fault::Errors,
        Fault::Garbage,
        Fault::Empty,
        Fault::Backwards,
        Fault::Compacted,
        Fault::Flapping,
        Fault::Wiped,
        Fault::Jump,
    ];
    const SEEN_WITHIN: Duration = Duration::from_millis(100);

    async fn start(truth: Arc<Truth>) -> Self {
        let store = Arc::new(Store::new(truth.clone()));
        let network = Network::new(store.clone());
        let etcd = Etcd::new(["http://a:2379", "http://b:2379"]).unwrap();
        let etcd = Etcd { dial: network.dial(), ..etcd };
        let mut task = JoinSet::new();
        task.spawn(run(store, network, truth));
        Self { etcd, _task: task }
    }

    fn source(&self) -> impl Source {
        self.etcd.source("s")
    }

    /// A third of this time and a second later, which is when all must be well again, it is back.
    fn registry(&self) -> impl Registry {
        self.etcd.registry("s").time_to_live(Duration::from_secs(3))
    }
}

async fn run(store: Arc<Store>, network: Network, truth: Arc<Truth>) {
    let (mut watch, mut before) = (truth.watch(), None);
    loop {
        let fault = watch.borrow_and_update().fault;
        if fault != before {
            store.turn(fault);
            network.turn(before, fault);
            before = fault;
        }
        store.tell();
        tokio::select! {
            biased;
            changed = watch.changed() => changed.unwrap(),
            // As often etcd looks for leases whose time is over.
            () = sleep(Duration::from_millis(500)) => {}
        }
    }
}

#[test]
fn whatever_etcd_does_the_last_good_set_is_served_and_all_is_well_soon_after() {
    storms::<Cluster>();
}
