//! The suite that all registries pass, on a network that fails.

use crate::{
    bridge::{Bridge, Weather},
    follow, seen,
};
use purlin_sd::{
    Instancer, Registry, Source,
    conformance::{Fault, World, check},
};
use purlin_sd_mdns::Mdns;
use std::time::Duration;
use tokio::time::{advance, pause, resume};

struct Network {
    bridge: Bridge,
    serving: Mdns,
    looking: Mdns,
    /// Somebody else, who looks for what is registered.
    other: Instancer,
    faults: &'static [Fault],
}

impl Network {
    fn with(faults: &'static [Fault]) -> Self {
        let bridge = Bridge::start();
        let serving = Mdns::new().port(bridge.serving());
        let looking = Mdns::new().port(bridge.looking());
        let other = follow(&looking, "conf");
        Self { bridge, serving, looking, other, faults }
    }
}

/// There is no registry that could fail: what fails is the network.
impl World for Network {
    const SEEN_WITHIN: Duration = Duration::from_secs(3);

    fn source(&self) -> impl Source {
        self.looking.source("conf")
    }

    fn registry(&self) -> impl Registry {
        self.serving.registry("conf")
    }

    async fn registered(&self) -> Vec<String> {
        let snapshot = self.other.snapshot();
        snapshot.instances().iter().map(|instance| instance.id.clone()).collect()
    }

    /// Nobody's hand deletes what a process says of itself; but anybody can say goodbye for it.
    async fn delete(&self, id: &str) {
        self.bridge.forge_goodbyes(id).await;
        seen(&mut self.other.clone(), |snapshot| snapshot.instances().is_empty()).await;
    }

    async fn fault(&self, fault: Fault) {
        let weather = match fault {
            Fault::Down => Weather::Silent,
            Fault::Hang => Weather::Mute,
            Fault::Reset => Weather::Cut,
            Fault::Errors => Weather::Errors,
            Fault::Garbage => Weather::Garbage,
            Fault::Empty => Weather::Goodbyes,
            Fault::Backwards => Weather::Twice,
            Fault::Flapping => Weather::Flaps,
            Fault::Jump => {
                pause();
                advance(Duration::from_secs(3600)).await;
                return resume();
            }
            Fault::Compacted | Fault::Wiped => unreachable!("nobody keeps what could be lost"),
        };
        self.bridge.set(weather).await;
    }

    async fn heal(&self) {
        self.bridge.set(Weather::Fine).await;
    }

    fn faults(&self) -> &'static [Fault] {
        self.faults
    }
}

#[tokio::test]
async fn multicast_dns_passes() {
    let world = async |faults| check(&Network::with(faults)).await;
    // Most of it is waiting, which can be done side by side.
    tokio::join!(
        world(&[Fault::Down, Fault::Hang]),
        world(&[Fault::Reset, Fault::Errors]),
        world(&[Fault::Garbage, Fault::Empty]),
        world(&[Fault::Backwards, Fault::Flapping]),
    );
}

#[tokio::test]
async fn multicast_dns_passes_when_the_clock_jumps() {
    check(&Network::with(&[Fault::Jump])).await;
}
