//! The suite that all registries pass, each fault in a world of its own, side by side.

use super::{etcd, fake::Fake, server::Server};
use futures_util::future::join_all;
use purlin_sd::{
    Registry, Source,
    conformance::{Fault, Mode, Proxy, World, check},
};
use std::{sync::Arc, time::Duration};

struct Real {
    server: Arc<Server>,
    proxy: Proxy,
    fails: Fake,
    says_nothing: Fake,
    /// Worlds that share a server have services of their own.
    service: String,
    faults: &'static [Fault],
}

impl Real {
    async fn new(server: Arc<Server>, faults: &'static [Fault]) -> Self {
        Self {
            proxy: Proxy::start(server.address()).unwrap(),
            server,
            fails: Fake::that_fails().await,
            says_nothing: Fake::that_says_nothing().await,
            service: format!("conf-{faults:?}"),
            faults,
        }
    }

    fn folder(&self) -> String {
        format!("/services/{}/", self.service)
    }
}

impl World for Real {
    const SEEN_WITHIN: Duration = Duration::from_secs(1);

    fn source(&self) -> impl Source {
        etcd(self.proxy.address()).source(&self.service)
    }

    fn registry(&self) -> impl Registry {
        etcd(self.proxy.address()).registry(&self.service)
    }

    async fn registered(&self) -> Vec<String> {
        let folder = self.folder();
        let keys = self.server.list(&folder).await;
        keys.iter().map(|key| key[folder.len()..].to_owned()).collect()
    }

    async fn delete(&self, id: &str) {
        self.server.delete(&format!("{}{id}", self.folder())).await;
    }

    async fn fault(&self, fault: Fault) {
        self.proxy.set(match fault {
            Fault::Hang => Mode::Hang,
            Fault::Reset => Mode::Reset,
            Fault::Errors => Mode::Elsewhere(self.fails.address()),
            Fault::Empty => Mode::Elsewhere(self.says_nothing.address()),
            Fault::Garbage => Mode::Rewrite(|bytes| bytes.iter_mut().for_each(|b| *b ^= 0x5a)),
            Fault::Flapping => Mode::Flap,
            Fault::Down | Fault::Backwards | Fault::Compacted => Mode::Refuse,
            Fault::Wiped | Fault::Jump => Mode::Pass,
        });
        match fault {
            Fault::Backwards | Fault::Wiped => self.server.wipe().await,
            Fault::Compacted => self.server.compact().await,
            Fault::Jump => {
                tokio::time::pause();
                tokio::time::advance(Duration::from_secs(3600)).await;
                tokio::time::resume();
            }
            _ => {}
        }
    }

    async fn heal(&self) {
        self.proxy.set(Mode::Pass);
    }

    fn faults(&self) -> &'static [Fault] {
        self.faults
    }
}

#[tokio::test]
async fn etcd_passes() {
    let shared = Arc::new(Server::start().await);
    let mut worlds = Vec::new();
    let harmless: [&[Fault]; 8] = [
        &[Fault::Down],
        &[Fault::Hang],
        &[Fault::Reset],
        &[Fault::Errors],
        &[Fault::Garbage],
        &[Fault::Empty],
        &[Fault::Compacted],
        &[Fault::Flapping],
    ];
    for faults in harmless {
        worlds.push(Real::new(shared.clone(), faults).await);
    }
    for faults in [&[Fault::Backwards], &[Fault::Wiped]] {
        worlds.push(Real::new(Arc::new(Server::start().await), faults).await);
    }
    join_all(worlds.iter().map(check)).await;
}

#[tokio::test]
async fn etcd_passes_when_the_clock_jumps() {
    check(&Real::new(Arc::new(Server::start().await), &[Fault::Jump]).await).await;
}
