use crate::{
    node::{Node, failed, gone},
    record::{kind, read},
};
use mdns_sd::ServiceEvent;
use purlin_endpoint::Error;
use purlin_sd::{Found, Instance, Source};
use std::{collections::BTreeMap, convert::Infallible, time::Duration};
use tokio::time::{Instant, timeout_at};

/// How long answers are gathered before the first set is told. Who is there answers within 120 ms
/// (RFC 6762, section 6), ...
const GATHERING: Duration = Duration::from_millis(500);

/// ... unless it has said the same less than a second ago. It is then asked again after a second.
const ASKED_AGAIN: Duration = Duration::from_millis(1500);

/// Follows one service by [`Mdns`](crate::Mdns).
#[derive(Debug)]
pub struct MdnsSource {
    port: u16,
    service: String,
}

impl MdnsSource {
    pub(crate) fn new(port: u16, service: String) -> Self {
        Self { port, service }
    }
}

impl Source for MdnsSource {
    async fn follow(&mut self, found: &Found) -> Result<Infallible, Error> {
        let kind = kind(&self.service)?;
        let (node, events) = Node::start(self.port)?;
        let answers = node.browse(&kind).map_err(failed)?;
        let mut known: BTreeMap<String, Instance> = BTreeMap::new();
        // Names are the same in capitals and in small letters.
        let hear = |event, known: &mut BTreeMap<String, Instance>| match event {
            ServiceEvent::ServiceResolved(service) => match read(&service) {
                Some(instance) => known.insert(service.fullname.to_lowercase(), instance),
                None => known.remove(&service.fullname.to_lowercase()),
            },
            ServiceEvent::ServiceRemoved(_, name) => known.remove(&name.to_lowercase()),
            _ => None,
        };
        let started = Instant::now();
        let gathered = |none: bool| started + if none { ASKED_AGAIN } else { GATHERING };
        while let Ok(event) = timeout_at(gathered(known.is_empty()), answers.recv_async()).await {
            hear(event.map_err(|_| gone())?, &mut known);
        }
        loop {
            found.set(known.values().cloned().collect());
            tokio::select! {
                event = answers.recv_async() => {
                    hear(event.map_err(|_| gone())?, &mut known);
                }
                failed = events.failure() => return failed,
            }
        }
    }
}
