//! What needs an etcd, driven through a proxy that makes it fail.

mod conformance;
mod fake;
mod outages;
mod registry;
mod server;
mod source;
#[cfg(feature = "rustls")]
mod tls;

use purlin_sd::{Discovery, EmptyAnswer, Instance, Instancer, Registrar, Registration};
use purlin_sd_etcd::Etcd;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// Far longer than anything should take, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(20);

fn etcd(address: SocketAddr) -> Etcd {
    Etcd::new([format!("http://{address}")]).unwrap()
}

fn instance(id: &str) -> Instance {
    Instance { id: id.into(), ..Instance::new("127.0.0.1:7001") }
}

/// Follows a service, and believes in empty answers.
fn follow(etcd: &Etcd, service: &str) -> Instancer {
    Discovery::new().empty(EmptyAnswer::Believe).start(etcd.source(service)).unwrap()
}

fn register(etcd: &Etcd, service: &str, time_to_live: Duration, id: &str) -> Registration {
    let registry = etcd.registry(service).time_to_live(time_to_live);
    Registrar::new().start(registry, instance(id)).unwrap()
}

/// Waits until these are found, and says how long that took.
async fn found(instancer: &mut Instancer, ids: &[&str]) -> Duration {
    let started = Instant::now();
    let are = |instancer: &Instancer| {
        let snapshot = instancer.snapshot();
        snapshot.is_known()
            && snapshot
                .instances()
                .iter()
                .map(|instance| instance.id.as_str())
                .eq(ids.iter().copied())
    };
    let wait = async {
        while !are(instancer) {
            instancer.changed().await;
        }
    };
    let late = timeout(PATIENCE, wait).await.is_err();
    assert!(!late, "{ids:?} were to be found, but there is {:?}", instancer.snapshot());
    started.elapsed()
}
