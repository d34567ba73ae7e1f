//! Service discovery by multicast DNS.
//!
//! ```
//! use purlin_sd::{Discovery, Instance, Registrar};
//! use purlin_sd_mdns::Mdns;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mdns = Mdns::new();
//! let registry = mdns.registry("greeter");
//! let registration = Registrar::new().start(registry, Instance::new("0.0.0.0:9110"))?;
//!
//! let instancer = Discovery::new().start(mdns.source("greeter"))?;
//! // Neither waits for the network.
//! assert!(!registration.state().is_registered());
//! assert!(!instancer.snapshot().is_known());
//! # Ok(())
//! # }
//! ```
//!
//! The processes of a local network, or of one machine, find each other with nothing installed
//! (RFC 6762 and 6763): each says what it is, and answers who asks. It reaches as far as multicast
//! does, which is rarely beyond a router and seldom into a container.
//!
//! # What is said
//!
//! The service `greeter` is of the type `_greeter._tcp.local.`, so its name is at most 15 letters,
//! digits and single hyphens within. An instance is named by its id, of at most 63 bytes; its SRV
//! and address records have the address, and its TXT record has `id`, `weight`, `zone`, `version`
//! and each entry of the metadata, of which none may be named like the others, and each has room
//! for 254 bytes, its key included.
//!
//! # Which address
//!
//! An instance that serves at an IP address has it announced on the networks it belongs to: at a
//! loopback address it is found on its own machine only. One that serves at `0.0.0.0` or `[::]` is
//! announced at all addresses of its machine, as they come and go. Of several, one is found: IPv4
//! before IPv6, one that others can reach before a loopback or link-local address of its kind, and
//! the lowest.
//!
//! # When it ends
//!
//! One that is taken back, or dropped, says goodbye, and is gone a second later, the time that RFC
//! 6762 gives a goodbye. One that is killed, or whose goodbye is lost or comes in the moment in which
//! everybody is asked anew, is gone when it has not answered for two rounds in a row: within 12 s, or
//! three times the [interval](Mdns::interval).
//! Those who all fall silent in one round are gone at once, so if nobody is left, that is an empty
//! answer: a network that is down looks like that, and it is
//! [held back](purlin_sd::Discovery::empty) as from any registry.
//!
//! Records live for two minutes, as RFC 6762 recommends, which is too long to call somebody who is
//! not there; and a querier of that RFC asks ever less often, after an hour at last, which is too
//! long to miss somebody whose announcement was lost. So a source starts anew every four seconds:
//! it asks three times within each round, where those who have answered need not do so again.
//! However many there are, that is less than one question a second, and one answer of each
//! instance in four.
//!
//! If two have one id, whoever was heard last is found.
//!
//! A thread does the network's part: one for each source and registry that is followed or kept. It
//! ends with them.

mod heard;
mod node;
mod record;
mod registry;
mod source;

pub use registry::MdnsRegistry;
pub use source::MdnsSource;

use std::time::Duration;

/// Multicast DNS on all networks of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mdns {
    port: u16,
    interval: Duration,
}

impl Default for Mdns {
    fn default() -> Self {
        Self { port: mdns_sd::MDNS_PORT, interval: Duration::from_secs(4) }
    }
}

impl Mdns {
    /// On port 5353, as everybody has it.
    pub fn new() -> Self {
        Self::default()
    }

    /// On a port of one's own: only those on the same one find each other. This is for tests.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// How long a round is, in which everybody is asked whether they are there: 4 s unless set, 1 s
    /// at least. Who is silent for three of them is gone. They are asked at once, after one second
    /// and after three, so in a shorter round more depends on each datagram.
    #[must_use]
    pub fn interval(self, interval: Duration) -> Self {
        Self { interval: interval.max(Duration::from_secs(1)), ..self }
    }

    /// Follows the instances of a service.
    pub fn source(&self, service: impl Into<String>) -> MdnsSource {
        MdnsSource::new(self.port, self.interval, service.into())
    }

    /// Registers one instance of a service.
    pub fn registry(&self, service: impl Into<String>) -> MdnsRegistry {
        MdnsRegistry::new(self.port, service.into())
    }
}
