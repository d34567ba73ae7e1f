//! The suite that all sources pass.

use crate::server::Server;
use purlin_endpoint::Error;
use purlin_sd::{
    Instance, Registry, Source, Standing,
    conformance::{Fault, World, check_source},
};
use std::{convert::Infallible, future::pending, net::SocketAddr, time::Duration};

struct Zone(Server, &'static [Fault]);

/// Writes records, as whoever is in charge of the zone does.
struct Hand(Server);

impl Hand {
    fn host(instance: &Instance) -> String {
        format!("{}.test.", instance.id)
    }
}

impl Registry for Hand {
    async fn keep(&mut self, instance: &Instance, there: &Standing) -> Result<Infallible, Error> {
        let address: SocketAddr = instance.address.parse().unwrap();
        let weight = instance.weight.try_into().unwrap();
        self.0.put((0, weight, address.port()), &Self::host(instance), address.ip());
        there.registered();
        pending().await
    }

    async fn withdraw(&mut self, instance: &Instance) -> Result<(), Error> {
        self.0.remove(&Self::host(instance));
        Ok(())
    }
}

impl World for Zone {
    const SEEN_WITHIN: Duration = Duration::from_millis(2500);

    fn source(&self) -> impl Source {
        self.0.srv()
    }

    fn registry(&self) -> impl Registry {
        Hand(self.0.clone())
    }

    async fn registered(&self) -> Vec<String> {
        let mut hosts = Vec::new();
        self.0.change(|zone| {
            let targets = zone.records.iter().filter_map(|record| record.data.ip_addr());
            hosts.extend(targets.map(|address| address.to_string()));
        });
        hosts
    }

    async fn delete(&self, id: &str) {
        self.0.remove(&format!("{id}.test."));
    }

    async fn fault(&self, fault: Fault) {
        match fault {
            Fault::Down => self.0.close().await,
            Fault::Jump => {
                tokio::time::pause();
                tokio::time::advance(Duration::from_secs(3600)).await;
                tokio::time::resume();
            }
            Fault::Backwards | Fault::Compacted => {
                unreachable!("DNS counts nothing that is looked at, and keeps no past")
            }
            Fault::Wiped => unreachable!("a zone without records looks as Empty does"),
            other => self.0.change(|zone| zone.fault = Some(other)),
        }
    }

    async fn heal(&self) {
        self.0.change(|zone| zone.fault = None);
        self.0.listen().await;
    }

    fn faults(&self) -> &'static [Fault] {
        self.1
    }

    fn found(&self, registered: Instance) -> Instance {
        Instance { weight: registered.weight, ..Instance::new(registered.address) }
    }
}

#[tokio::test]
async fn dns_passes() {
    let world = async |faults| check_source(&Zone(Server::start().await, faults)).await;
    // Most of it is waiting, which can be done side by side.
    tokio::join!(
        world(&[Fault::Down]),
        world(&[Fault::Hang, Fault::Flapping]),
        world(&[Fault::Errors, Fault::Empty]),
        world(&[Fault::Garbage, Fault::Reset]),
    );
}

#[tokio::test]
async fn dns_passes_when_the_clock_jumps() {
    check_source(&Zone(Server::start().await, &[Fault::Jump])).await;
}
