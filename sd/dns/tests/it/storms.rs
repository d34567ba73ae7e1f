//! A DNS server that fails in random ways.

use crate::server::Server;
use purlin_endpoint::Error;
use purlin_sd::{
    Instance, Registry, Source, Standing,
    conformance::{Fault, Stormy, Truth, storms},
};
use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};
use tokio::task::JoinSet;

struct Zone {
    server: Server,
    truth: Arc<Truth>,
    _task: JoinSet<()>,
}

/// Whoever is in charge of the zone, and puts back what is gone.
struct Hand(Arc<Truth>);

impl Registry for Hand {
    async fn keep(&mut self, instance: &Instance, there: &Standing) -> Result<Infallible, Error> {
        let mut truth = self.0.watch();
        loop {
            self.0.put(instance.clone());
            there.registered();
            truth.changed().await.map_err(Error::internal)?;
        }
    }

    async fn withdraw(&mut self, instance: &Instance) -> Result<(), Error> {
        self.0.delete(&instance.id);
        Ok(())
    }
}

impl Stormy for Zone {
    const FAULTS: &'static [Fault] = &[
        Fault::Down,
        Fault::Hang,
        Fault::Reset,
        Fault::Errors,
        Fault::Garbage,
        Fault::Empty,
        Fault::Flapping,
        Fault::Jump,
    ];
    const SEEN_WITHIN: Duration = Duration::from_millis(1100);
    // Those for whose target nothing is known yet are left out.
    const IN_PARTS: bool = true;
    // What was asked in vain is given up first.
    const HEALED_WITHIN: Duration = Duration::from_secs(4);

    async fn start(truth: Arc<Truth>) -> Self {
        let server = Server::start().await;
        server.change(|zone| (zone.fleeting, zone.truth) = (true, Some(truth.clone())));
        let mut task = JoinSet::new();
        task.spawn(run(server.clone(), truth.clone()));
        Self { server, truth, _task: task }
    }

    fn source(&self) -> impl Source {
        self.server.srv()
    }

    fn registry(&self) -> impl Registry {
        Hand(self.truth.clone())
    }
}

fn host(id: &str) -> String {
    format!("{}.test.", id.replace('.', "-").replace(':', "--"))
}

/// Whose host that is.
pub(crate) fn id(host: &str) -> String {
    host.trim_end_matches(".test.").replace("--", ":").replace('-', ".")
}

/// Has the zone be what it is to be.
async fn run(server: Server, truth: Arc<Truth>) {
    let mut watch = truth.watch();
    loop {
        let now = watch.borrow_and_update().clone();
        server.change(|zone| {
            zone.records.clear();
            zone.fault = now.fault;
        });
        for instance in now.instances.values() {
            let address: SocketAddr = instance.address.parse().unwrap();
            server.put((0, 1, address.port()), &host(&instance.id), address.ip());
        }
        match now.fault {
            Some(Fault::Down) => server.close().await,
            _ => _ = server.listen().await,
        }
        watch.changed().await.unwrap();
    }
}

#[test]
fn whatever_a_dns_server_does_the_last_good_set_is_served_and_all_is_well_soon_after() {
    storms::<Zone>();
}
