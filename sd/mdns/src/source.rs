use crate::{
    heard::Heard,
    node::{Node, failed, gone},
    record::kind,
};
use mdns_sd::{Receiver, ServiceEvent};
use purlin_endpoint::Error;
use purlin_sd::{Found, Source};
use std::{collections::BTreeSet, convert::Infallible, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};

/// How long answers are gathered before the first set is told. Who is there answers within 120 ms
/// (RFC 6762, section 6), ...
const GATHERING: Duration = Duration::from_millis(500);

/// ... unless it has said the same less than a second ago. It is then asked again after a second.
const ASKED_AGAIN: Duration = Duration::from_millis(1500);

/// Follows one service by [`Mdns`](crate::Mdns).
#[derive(Debug)]
pub struct MdnsSource {
    port: u16,
    interval: Duration,
    service: String,
    heard: Heard,
}

impl MdnsSource {
    pub(crate) fn new(port: u16, interval: Duration, service: String) -> Self {
        Self { port, interval, service, heard: Heard::default() }
    }

    /// Asks everybody anew, and returns their answers, given those of the round that this ends.
    async fn next_round(
        &mut self,
        node: &Node,
        kind: &str,
        answers: Receiver<ServiceEvent>,
    ) -> Result<Receiver<ServiceEvent>, Error> {
        let cached = node.browse_cache(kind).map_err(failed)?;
        // Who is in the cache would be told not to answer.
        node.stop_browse(kind).map_err(failed)?;
        let next = node.browse(kind).map_err(failed)?;
        while let Ok(event) = answers.recv_async().await {
            self.heard.hear(event);
        }
        // A goodbye takes effect after a second, and would be forgotten with the cache before.
        let mut still = BTreeSet::new();
        while let Ok(event) = cached.recv_async().await {
            match event {
                ServiceEvent::ServiceFound(_, name) => _ = still.insert(name.to_lowercase()),
                ServiceEvent::SearchStopped(_) => self.heard.are_still(&still),
                _ => {}
            }
        }
        self.heard.next_round();
        Ok(next)
    }
}

impl Source for MdnsSource {
    async fn follow(&mut self, found: &Found) -> Result<Infallible, Error> {
        let kind = kind(&self.service)?;
        let (node, events) = Node::start(self.port)?;
        let mut answers = node.browse(&kind).map_err(failed)?;
        let started = Instant::now();
        let gathered = |none: bool| started + if none { ASKED_AGAIN } else { GATHERING };
        while let Ok(event) =
            timeout_at(gathered(self.heard.is_empty()), answers.recv_async()).await
        {
            self.heard.hear(event.map_err(|_| gone())?);
        }
        let mut rounds = interval_at(started + self.interval, self.interval);
        // After a pause of this process nobody has been silent for longer.
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.heard.tell(found);
            tokio::select! {
                event = answers.recv_async() => self.heard.hear(event.map_err(|_| gone())?),
                _ = rounds.tick() => answers = self.next_round(&node, &kind, answers).await?,
                failed = events.failure() => return failed,
            }
        }
    }
}
