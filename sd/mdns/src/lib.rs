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
//! 6762 gives a goodbye. One that is killed is gone when its records have expired, after two
//! minutes; until then whoever calls it must notice.
//!
//! A thread does the network's part: one for each source and registry that is followed or kept. It
//! ends with them.

mod node;
mod record;
mod registry;
mod source;

pub use registry::MdnsRegistry;
pub use source::MdnsSource;

/// Multicast DNS on all networks of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mdns {
    port: u16,
}

impl Default for Mdns {
    fn default() -> Self {
        Self { port: mdns_sd::MDNS_PORT }
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
        Self { port }
    }

    /// Follows the instances of a service.
    pub fn source(&self, service: impl Into<String>) -> MdnsSource {
        MdnsSource::new(self.port, service.into())
    }

    /// Registers one instance of a service.
    pub fn registry(&self, service: impl Into<String>) -> MdnsRegistry {
        MdnsRegistry::new(self.port, service.into())
    }
}
