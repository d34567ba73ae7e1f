//! What SRV records mean (RFC 2782).

use hickory_resolver::proto::rr::{Name, rdata::SRV};
use purlin_endpoint::{Code, Error};
use purlin_sd::Instance;
use std::{collections::BTreeMap, net::IpAddr};

/// A host that serves, and on which port.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) name: Name,
    pub(crate) port: u16,
    pub(crate) weight: u16,
}

/// Groups of targets by rising priority, and what is no target.
pub(crate) fn groups(records: impl IntoIterator<Item = SRV>) -> (Vec<Vec<Target>>, Option<Error>) {
    let mut groups = BTreeMap::<u16, Vec<Target>>::new();
    let mut left_out = None;
    for SRV { priority, weight, port, target: name, .. } in records {
        if name.is_root() {
            // The service is decidedly not available here.
        } else if port == 0 {
            left_out = Some(Error::new(Code::FailedPrecondition, format!("{name} has port 0")));
        } else {
            groups.entry(priority).or_default().push(Target { name, port, weight });
        }
    }
    (groups.into_values().collect(), left_out)
}

/// The instances of a group, given the addresses of each target.
pub(crate) fn instances(group: &[(Target, Vec<IpAddr>)]) -> Vec<Instance> {
    // All 0 is what is written where nobody is to be preferred.
    let weighted = group.iter().any(|(target, _)| target.weight > 0);
    let each = group.iter().flat_map(|(target, addresses)| {
        addresses
            .iter()
            .map(move |address| (target, std::net::SocketAddr::new(*address, target.port)))
    });
    each.map(|(target, address)| Instance {
        weight: if weighted { target.weight.into() } else { 1 },
        ..Instance::new(address.to_string())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, port: u16, target: &str) -> SRV {
        SRV::new(priority, weight, port, Name::from_ascii(target).unwrap())
    }

    fn ports(groups: &[Vec<Target>]) -> Vec<Vec<u16>> {
        groups.iter().map(|group| group.iter().map(|target| target.port).collect()).collect()
    }

    #[test]
    fn targets_are_grouped_by_rising_priority() {
        let records = [(10, 1), (0, 2), (10, 3), (5, 4)];
        let records = records.map(|(priority, port)| record(priority, 0, port, "a.example."));
        let (groups, left_out) = groups(records);
        assert_eq!(ports(&groups), [vec![2], vec![4], vec![1, 3]]);
        assert!(left_out.is_none());
    }

    #[test]
    fn the_root_as_a_target_means_none() {
        let (groups, left_out) = groups([record(0, 0, 0, ".")]);
        assert!(groups.is_empty() && left_out.is_none());
    }

    #[test]
    fn dns_2_a_record_with_port_0_is_no_target_and_is_said() {
        let records = [record(0, 0, 0, "a.example."), record(0, 0, 1, "b.example.")];
        let (groups, left_out) = groups(records);
        assert_eq!(ports(&groups), [[1]]);
        assert_eq!(left_out.unwrap().to_string(), "a.example. has port 0");
    }

    #[test]
    fn weights_are_the_records_own_unless_all_are_0() {
        let set = |weights: [u16; 2]| {
            let target = |(host, weight)| {
                let name = Name::from_ascii("a.example.").unwrap();
                (Target { name, port: 9110, weight }, vec![IpAddr::from([10, 0, 0, host])])
            };
            let group: Vec<_> = (1..).zip(weights).map(target).collect();
            let set = instances(&group);
            assert_eq!(set[1].address, "10.0.0.2:9110");
            [set[0].weight, set[1].weight]
        };
        assert_eq!(set([0, 0]), [1, 1]);
        assert_eq!(set([0, 7]), [0, 7]);
    }

    #[test]
    fn each_address_of_a_target_is_an_instance() {
        let name = Name::from_ascii("a.example.").unwrap();
        let addresses = vec![[10, 0, 0, 1].into(), "::1".parse().unwrap()];
        let set = instances(&[(Target { name, port: 9110, weight: 3 }, addresses)]);
        let expected = ["10.0.0.1:9110", "[::1]:9110"];
        assert!(set.iter().map(|instance| &*instance.id).eq(expected));
        assert!(set.iter().all(|instance| instance.weight == 3));
    }
}
