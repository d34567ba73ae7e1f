//! What comes of the answers of a DNS server.

use crate::server::{SERVICE, Server, address, name};
use hickory_resolver::proto::rr::{RData, Record, RecordType, rdata::SRV};
use purlin_sd::{Discovery, EmptyAnswer, Instancer, Snapshot, Source};
use purlin_sd_dns::Dns;
use std::{net::IpAddr, time::Duration};
use tokio::time::timeout;

const SECOND: Duration = Duration::from_secs(1);

fn follow(source: impl Source) -> Instancer {
    Discovery::new().empty(EmptyAnswer::Believe).start(source).unwrap()
}

fn ip(last: u8) -> IpAddr {
    [127, 0, 0, last].into()
}

async fn sees(instancer: &mut Instancer, seen: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let wait = async {
        while !seen(&instancer.snapshot()) {
            instancer.changed().await;
        }
    };
    let outcome = timeout(10 * SECOND, wait).await;
    assert!(outcome.is_ok(), "{:?}", instancer.snapshot());
    instancer.snapshot()
}

fn addresses(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.instances().iter().map(|instance| &*instance.address).collect()
}

#[tokio::test]
async fn dns_1_records_that_come_later_are_found_by_the_second_lookup() {
    let server = Server::start().await;
    let mut instancer = follow(server.srv());
    assert!(instancer.known().await.instances().is_empty());
    for host in 1..=3 {
        server.put((0, 0, 9110), &format!("{host}.test."), ip(host));
    }
    let snapshot = sees(&mut instancer, |seen| seen.instances().len() == 3).await;
    assert!(snapshot.error().is_none());
    assert_eq!(server.asked(RecordType::SRV, 2).await.len(), 2);
}

#[tokio::test]
async fn dns_2_port_0_is_an_error_that_takes_nobody_else_away() {
    let server = Server::start().await;
    server.put((0, 0, 0), "a.test.", ip(1));
    let mut instancer = follow(server.srv());
    let snapshot = sees(&mut instancer, |seen| seen.error().is_some()).await;
    assert_eq!(snapshot.error().unwrap().to_string(), "a.test. has port 0");
    assert!(!snapshot.is_known());
    server.put((0, 0, 9110), "b.test.", ip(2));
    let snapshot = sees(&mut instancer, Snapshot::is_known).await;
    assert_eq!(addresses(&snapshot), ["127.0.0.2:9110"]);
    assert_eq!(snapshot.error().unwrap().to_string(), "a.test. has port 0");
}

#[tokio::test]
async fn an_answer_is_believed_for_its_time_to_live_within_bounds() {
    for (ttl, longest, expected) in [(2, 300, 2..3), (0, 300, 1..2), (3600, 1, 1..2)] {
        let server = Server::start().await;
        let target = RData::SRV(SRV::new(0, 0, 9110, name("a.test.")));
        server.change(|zone| {
            zone.records.push(Record::from_rdata(name(SERVICE), ttl, target));
            zone.records.push(Record::from_rdata(name("a.test."), 3600, address(ip(1))));
            zone.records.push(Record::from_rdata(
                name("a.test."),
                3600,
                address("::1".parse().unwrap()),
            ));
        });
        let _instancer = follow(server.srv().longest(longest * SECOND));
        let asked = server.asked(RecordType::SRV, 2).await;
        let between = (asked[1].2 - asked[0].2).as_secs();
        assert!(expected.contains(&between), "asked again after {between} s with a TTL of {ttl} s");
    }
}

#[tokio::test]
async fn a_target_that_cannot_be_asked_for_keeps_its_addresses() {
    let server = Server::start().await;
    for host in 1..=3 {
        server.put((0, 0, 9110), &format!("{host}.test."), ip(host));
    }
    let mut instancer = follow(server.srv());
    sees(&mut instancer, |seen| seen.instances().len() == 3).await;
    server.change(|zone| _ = zone.failing.insert(name("2.test.")));
    let snapshot = sees(&mut instancer, |seen| seen.error().is_some()).await;
    assert_eq!(snapshot.instances().len(), 3);
    let said = snapshot.error().unwrap().to_string();
    assert!(said.contains("2.test.") && said.contains("Server Failure"), "{said}");
    // A change elsewhere is seen meanwhile.
    server.remove("3.test.");
    let snapshot = sees(&mut instancer, |seen| seen.instances().len() == 2).await;
    assert_eq!(addresses(&snapshot), ["127.0.0.1:9110", "127.0.0.2:9110"]);
    server.change(|zone| zone.failing.clear());
    sees(&mut instancer, |seen| seen.error().is_none()).await;
}

#[tokio::test]
async fn a_target_that_does_not_exist_is_left_out_and_said() {
    let server = Server::start().await;
    server.put((0, 0, 9110), "a.test.", ip(1));
    let nowhere = RData::SRV(SRV::new(0, 0, 9110, name("b.test.")));
    server.change(|zone| zone.records.push(Record::from_rdata(name(SERVICE), 1, nowhere)));
    let snapshot = follow(server.srv()).known().await;
    assert_eq!(addresses(&snapshot), ["127.0.0.1:9110"]);
    assert_eq!(snapshot.error().unwrap().to_string(), "b.test. has no address");
}

#[tokio::test]
async fn the_root_as_a_target_means_that_there_is_no_service() {
    let server = Server::start().await;
    server.put((0, 0, 9110), "a.test.", ip(1));
    let mut instancer = follow(server.srv());
    assert_eq!(instancer.known().await.instances().len(), 1);
    server.remove("a.test.");
    let none = RData::SRV(SRV::new(0, 0, 0, name(".")));
    server.change(|zone| zone.records.push(Record::from_rdata(name(SERVICE), 1, none)));
    let snapshot = sees(&mut instancer, |seen| seen.instances().is_empty()).await;
    assert!(snapshot.error().is_none());
}

#[tokio::test]
async fn a_higher_priority_serves_when_no_target_of_a_lower_one_has_an_address() {
    let server = Server::start().await;
    server.put((10, 7, 1), "first.test.", ip(1));
    server.put((20, 9, 2), "second.test.", ip(2));
    let mut instancer = follow(server.srv());
    assert_eq!(addresses(&instancer.known().await), ["127.0.0.1:1"]);
    server.change(|zone| zone.records.retain(|record| record.name != name("first.test.")));
    let snapshot = sees(&mut instancer, |seen| addresses(seen) == ["127.0.0.2:2"]).await;
    assert_eq!(snapshot.instances()[0].weight, 9);
}

#[tokio::test]
async fn an_answer_that_is_too_large_for_udp_comes_by_tcp() {
    let server = Server::start().await;
    server.change(|zone| zone.truncates = true);
    for host in 1..=100 {
        server.put((0, 0, 9110), &format!("{host}.a-rather-long-name.test."), ip(host));
    }
    let snapshot = follow(server.srv()).known().await;
    assert_eq!((snapshot.instances().len(), snapshot.error().is_none()), (100, true));
    let asked = server.asked(RecordType::SRV, 2).await;
    assert_eq!([asked[0].3, asked[1].3], [false, true], "by UDP and then by TCP");
}

#[tokio::test]
async fn all_addresses_of_a_host_serve_on_its_port() {
    let server = Server::start().await;
    server.change(|zone| {
        for ip in [ip(1), ip(2), "::1".parse().unwrap()] {
            zone.records.push(Record::from_rdata(name("greeter.test."), 1, address(ip)));
        }
    });
    let source = Dns::host("greeter.test.", 9110).unwrap().nameserver(server.address);
    let mut instancer = follow(source);
    let snapshot = instancer.known().await;
    assert_eq!(addresses(&snapshot), ["127.0.0.1:9110", "127.0.0.2:9110", "[::1]:9110"]);
    // That it does not exist any more is an answer, and no error.
    server.change(|zone| zone.records.clear());
    let snapshot = sees(&mut instancer, |seen| seen.instances().is_empty()).await;
    assert!(snapshot.error().is_none());
}

#[test]
fn mistakes_are_found_at_once() {
    assert_eq!(Dns::host("greeter.test.", 0).unwrap_err().field, "port");
    for text in ["", ".", "a..b", &"a".repeat(64)] {
        assert_eq!(Dns::srv(text).unwrap_err().field, "name", "{text}");
    }
}
