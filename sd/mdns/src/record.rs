//! What the records of an instance say, and how they are read.

use crate::node::failed;
use mdns_sd::{ResolvedService, ScopedIp, ServiceInfo, TxtProperties};
use purlin_endpoint::Error;
use purlin_sd::Instance;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, SocketAddrV6},
};

/// What in a TXT record is not metadata.
const OURS: [&str; 4] = ["id", "weight", "zone", "version"];

/// The type that stands for a service.
pub(crate) fn kind(service: &str) -> Result<String, Error> {
    let fits = (1..=15).contains(&service.len())
        && service.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && service.bytes().any(|byte| byte.is_ascii_alphabetic())
        && !service.starts_with('-')
        && !service.ends_with('-')
        && !service.contains("--");
    if fits {
        Ok(format!("_{service}._tcp.local."))
    } else {
        Err(Error::invalid("service", "must be 1 to 15 letters, digits and single hyphens within"))
    }
}

/// What is announced of an instance. Its host has the name that is given.
pub(crate) fn write(kind: &str, instance: &Instance, host: &str) -> Result<ServiceInfo, Error> {
    if !(1..=63).contains(&instance.id.len()) {
        return Err(Error::invalid("id", "must have 1 to 63 bytes"));
    }
    let address: SocketAddr = instance
        .address
        .parse()
        .map_err(|_| Error::invalid("address", "must be an IP address and a port"))?;
    let mut said: HashMap<String, String> = HashMap::new();
    for (key, value) in &instance.metadata {
        if OURS.iter().any(|ours| key.eq_ignore_ascii_case(ours)) {
            return Err(Error::invalid("metadata", "must not be named like another field"));
        }
        said.insert(key.clone(), value.clone());
    }
    said.insert("id".into(), instance.id.clone());
    said.insert("weight".into(), instance.weight.to_string());
    let optional = [("zone", &instance.zone), ("version", &instance.version)];
    for (key, value) in optional {
        said.extend(value.iter().map(|value| (key.to_owned(), value.clone())));
    }
    let everywhere = address.ip().is_unspecified();
    let ips: Vec<IpAddr> = if everywhere { Vec::new() } else { vec![address.ip()] };
    let info = ServiceInfo::new(kind, &instance.id, host, &ips[..], address.port(), said);
    let mut info = info.map_err(|error| Error::invalid("metadata", failed(error).to_string()))?;
    // The host's name is a random one, and an id is nobody else's: what could be probed for would
    // only take time.
    info.set_requires_probe(false);
    Ok(if everywhere { info.enable_addr_auto() } else { info })
}

/// What is understood of what was announced by who is called at this address.
pub(crate) fn read(said: &TxtProperties, address: SocketAddr) -> Result<Instance, Error> {
    let mut instance = Instance::new(address.to_string());
    for entry in said.iter() {
        let (key, value) = (entry.key().to_ascii_lowercase(), entry.val_str().to_owned());
        match key.as_str() {
            "id" => instance.id = value,
            "weight" => {
                instance.weight = value
                    .parse()
                    .map_err(|_| Error::invalid("weight", format!("is {value:?}, no number")))?;
            }
            "zone" => instance.zone = Some(value),
            "version" => instance.version = Some(value),
            _ => _ = instance.metadata.insert(entry.key().to_owned(), value),
        }
    }
    Ok(instance)
}

/// Where a service is reached.
pub(crate) fn addresses(found: &ResolvedService) -> impl Iterator<Item = SocketAddr> {
    found.addresses.iter().map(|scoped| match scoped {
        // A link-local address says nothing without its network.
        ScopedIp::V6(scoped) if scoped.addr().is_unicast_link_local() => {
            SocketAddrV6::new(*scoped.addr(), found.port, 0, scoped.scope_id().index).into()
        }
        _ => SocketAddr::new(scoped.to_ip_addr(), found.port),
    })
}

/// Which of several addresses is called.
pub(crate) fn best(addresses: impl Iterator<Item = SocketAddr>) -> Option<SocketAddr> {
    addresses.min_by_key(|address| {
        let near = match address.ip() {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
        };
        (address.is_ipv6(), near, *address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(ips: &[&str]) -> String {
        let ips: Vec<IpAddr> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        let info = ServiceInfo::new("_s._tcp.local.", "a", "h.local.", &ips[..], 80, None);
        best(addresses(&info.unwrap().as_resolved_service())).unwrap().to_string()
    }

    #[test]
    fn an_address_that_others_reach_is_chosen_and_ipv4_first() {
        assert_eq!(chosen(&["::1", "fd00::2", "127.0.0.1", "192.0.2.2"]), "192.0.2.2:80");
        assert_eq!(chosen(&["192.0.2.3", "192.0.2.2"]), "192.0.2.2:80");
        assert_eq!(chosen(&["fd00::2", "127.0.0.1"]), "127.0.0.1:80");
        assert_eq!(chosen(&["fe80::1", "fd00::2", "::1"]), "[fd00::2]:80");
        assert_eq!(best([].into_iter()), None);
    }

    #[test]
    fn a_service_is_named_as_its_type_can_be() {
        assert_eq!(kind("greeter-2").unwrap(), "_greeter-2._tcp.local.");
        for wrong in ["", "greeter.Greeter", "-a", "a-", "a--b", "1", "sixteen-letters-"] {
            assert!(kind(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_has_no_room_in_the_records_is_refused() {
        let good = Instance::new("127.0.0.1:80");
        let wrong = [
            Instance { id: "x".repeat(64), ..good.clone() },
            Instance { id: String::new(), ..good.clone() },
            Instance::new("greeter.example:80"),
            Instance { metadata: [("Zone".into(), "eu".into())].into(), ..good.clone() },
            Instance { metadata: [("k".into(), "v".repeat(300))].into(), ..good.clone() },
            Instance { metadata: [("a=b".into(), "v".into())].into(), ..good.clone() },
        ];
        assert!(write("_s._tcp.local.", &good, "h.local.").is_ok());
        for wrong in wrong {
            assert!(write("_s._tcp.local.", &wrong, "h.local.").is_err(), "{wrong:?}");
        }
    }
}
