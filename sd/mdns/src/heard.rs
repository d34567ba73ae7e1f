//! Who has answered, and when last: decisions that need no network.

use crate::record::{addresses, best, read};
use mdns_sd::{ResolvedService, ServiceEvent, TxtProperties};
use purlin_endpoint::{Code, Error};
use purlin_sd::{Found, Instance};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

/// So many rounds in a row one may be silent in. In each it is asked three times.
const SILENT: u64 = 2;

/// Those who have answered in the last rounds, in each of which everybody is asked anew.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    round: u64,
    /// By their names, which are the same in capitals and in small letters.
    services: BTreeMap<String, Service>,
}

#[derive(Debug)]
struct Service {
    /// A process has a host to itself, so that with another one this is another process.
    host: String,
    /// When each was last among the answers. They come from each network by itself, in any order.
    addresses: Vec<(SocketAddr, u64)>,
    said: TxtProperties,
    /// When it has last begun to answer, ...
    found: u64,
    /// ... and when it was last understood.
    heard: u64,
}

impl Heard {
    pub(crate) fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Of those who have answered in this round, these have not taken their leave.
    pub(crate) fn are_still(&mut self, names: &BTreeSet<String>) {
        self.services.retain(|name, service| service.heard < self.round || names.contains(name));
    }

    /// Everybody is asked anew. Who has not answered for too long is forgotten.
    pub(crate) fn next_round(&mut self) {
        let silent = |last: u64| self.round - last >= SILENT;
        self.services.retain(|_, service| !silent(service.heard));
        for service in self.services.values_mut() {
            service.addresses.retain(|(_, last)| !silent(*last));
        }
        self.round += 1;
    }

    pub(crate) fn hear(&mut self, event: ServiceEvent) {
        match event {
            ServiceEvent::ServiceFound(_, name) => {
                if let Some(service) = self.services.get_mut(&name.to_lowercase()) {
                    service.found = self.round;
                }
            }
            ServiceEvent::ServiceResolved(found) => self.understand(*found),
            ServiceEvent::ServiceRemoved(_, name) => {
                let name = name.to_lowercase();
                // The first half of an answer takes back what the last round has heard; the other
                // half is on its way, or is asked for.
                let half =
                    |service: &Service| service.found == self.round && service.heard < self.round;
                if !self.services.get(&name).is_some_and(half) {
                    self.services.remove(&name);
                }
            }
            _ => {}
        }
    }

    fn understand(&mut self, found: ResolvedService) {
        let now: Vec<SocketAddr> = addresses(&found).collect();
        let ResolvedService { fullname, host, port, txt_properties: said, .. } = found;
        let (found, heard) = (self.round, self.round);
        let new = Service { host, addresses: Vec::new(), said, found, heard };
        let known = self.services.remove(&fullname.to_lowercase());
        let mut service = match known {
            Some(known) if known.host == new.host => {
                Service { addresses: known.addresses, found: known.found, ..new }
            }
            _ => new,
        };
        service.addresses.retain(|(address, _)| address.port() == port && !now.contains(address));
        service.addresses.extend(now.into_iter().map(|address| (address, self.round)));
        self.services.insert(fullname.to_lowercase(), service);
    }

    pub(crate) fn tell(&self, found: &Found) {
        let (mut instances, mut left_out) = (Vec::new(), None);
        for (name, service) in &self.services {
            match service.instance() {
                Ok(instance) => instances.push(instance),
                Err(error) => {
                    let why = format!("{name} is no instance: {error}");
                    left_out = Some(Error::of(Code::DataLoss).public(why));
                }
            }
        }
        match left_out {
            None => found.set(instances),
            Some(error) => found.set_partly(instances, error),
        }
    }
}

impl Service {
    fn instance(&self) -> Result<Instance, Error> {
        let address = best(self.addresses.iter().map(|(address, _)| *address));
        let address = address.ok_or_else(|| Error::invalid("address", "is missing"))?;
        read(&self.said, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;
    use mdns_sd::ServiceInfo;

    fn name(id: u8) -> String {
        format!("{id}._s._tcp.local.")
    }

    fn found(id: u8) -> ServiceEvent {
        ServiceEvent::ServiceFound("_s._tcp.local.".into(), name(id).to_uppercase())
    }

    fn removed(id: u8) -> ServiceEvent {
        ServiceEvent::ServiceRemoved("_s._tcp.local.".into(), name(id).to_uppercase())
    }

    fn resolved(id: u8, host: &str, ip: &str, port: u16) -> ServiceEvent {
        let (id, host) = (id.to_string(), format!("{host}.local."));
        let info = ServiceInfo::new("_s._tcp.local.", &id, &host, ip, port, None).unwrap();
        ServiceEvent::ServiceResolved(Box::new(info.as_resolved_service()))
    }

    fn known(heard: &Heard) -> Vec<String> {
        let instances = heard.services.values().map(|service| service.instance().unwrap().address);
        instances.collect()
    }

    #[test]
    fn an_address_that_is_not_in_the_first_answer_of_a_round_is_kept_for_two_more() {
        let mut heard = Heard::default();
        heard.hear(resolved(1, "h", "127.0.0.1", 80));
        heard.hear(resolved(1, "h", "192.0.2.1", 80));
        for _ in 0..3 {
            assert_eq!(known(&heard), ["192.0.2.1:80"], "others reach it there");
            heard.next_round();
            heard.hear(resolved(1, "h", "127.0.0.1", 80));
        }
        assert_eq!(known(&heard), ["127.0.0.1:80"]);
    }

    #[test]
    fn another_process_of_the_same_name_takes_its_place_and_has_none_of_its_addresses() {
        let mut heard = Heard::default();
        heard.hear(resolved(1, "old", "127.0.0.1", 80));
        heard.hear(resolved(1, "new", "127.0.0.2", 80));
        assert_eq!(known(&heard), ["127.0.0.2:80"]);
        heard.hear(resolved(1, "new", "127.0.0.2", 90));
        assert_eq!(known(&heard), ["127.0.0.2:90"]);
    }

    #[test]
    fn who_has_taken_its_leave_at_the_end_of_a_round_is_gone_and_who_was_silent_is_not() {
        let mut heard = Heard::default();
        heard.hear(resolved(1, "silent", "127.0.0.1", 1));
        heard.next_round();
        heard.hear(resolved(2, "gone", "127.0.0.1", 2));
        heard.hear(resolved(3, "there", "127.0.0.1", 3));
        heard.are_still(&[name(3)].into());
        assert_eq!(known(&heard), ["127.0.0.1:1", "127.0.0.1:3"]);
    }

    #[test]
    fn what_makes_no_sense_is_said_to_be_no_instance() {
        let host = "h.local.";
        let text = [("weight", "heavy")];
        let info = ServiceInfo::new("_s._tcp.local.", "1", host, "127.0.0.1", 80, &text[..]);
        let mut heard = Heard::default();
        heard.hear(ServiceEvent::ServiceResolved(Box::new(info.unwrap().as_resolved_service())));
        let wrong = heard.services["1._s._tcp.local."].instance().unwrap_err();
        assert_eq!(wrong.to_string(), "weight is \"heavy\", no number");
    }

    /// What becomes of one instance, beside what is to be known of it. `PURLIN_SOAK` tries more.
    #[test]
    fn whatever_is_lost_one_is_known_until_its_goodbye_or_two_silent_rounds() {
        let seeds = if std::env::var_os("PURLIN_SOAK").is_some() { 100_000 } else { 1000 };
        for seed in 0..seeds {
            let (mut rng, mut heard) = (Rng::with_seed(seed), Heard::default());
            let ids = rng.u8(1..4);
            // Since when each is silent, in rounds; none is one who is gone.
            let mut silent: Vec<Option<u64>> = vec![None; ids.into()];
            for _ in 0..rng.u8(1..40) {
                for id in 0..ids {
                    let silent = &mut silent[usize::from(id)];
                    match rng.u8(0..10) {
                        // It is lost, or half of it is and the rest comes no more.
                        0..3 => {}
                        3 => heard.hear(found(id)),
                        4 => {
                            heard.hear(found(id));
                            heard.hear(removed(id));
                        }
                        5 => {
                            heard.hear(removed(id));
                            *silent = None;
                            continue;
                        }
                        _ => {
                            heard.hear(found(id));
                            heard.hear(resolved(id, "h", "127.0.0.1", id.into()));
                            *silent = Some(0);
                            continue;
                        }
                    }
                    *silent = silent.map(|rounds| rounds + 1);
                }
                heard.next_round();
                silent.iter_mut().for_each(|silent| *silent = silent.filter(|rounds| *rounds < 2));
                let expected = (0..ids).filter(|id| silent[usize::from(*id)].is_some());
                let expected: Vec<_> = expected.map(|id| format!("127.0.0.1:{id}")).collect();
                assert_eq!(known(&heard), expected, "SEED={seed}");
            }
        }
    }
}
