//! Service discovery by DNS.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use purlin_sd::Discovery;
//! use purlin_sd_dns::Dns;
//!
//! // Or `Dns::srv("_grpc._tcp.greeter.example.")`; without a nameserver it is the system's.
//! let source = Dns::host("localhost.", 9110)?.nameserver("127.0.0.53:53".parse()?);
//! let mut greeters = Discovery::new().start(source)?;
//! let set = greeters.known().await;
//! assert!(set.instances().iter().any(|instance| instance.address == "127.0.0.1:9110"));
//! # Ok(())
//! # }
//! ```
//!
//! A [`Dns`] follows the SRV records of a name, or the addresses of a host: it asks again when the
//! answer's time to live is over, but not more than once a second, and at least every five minutes
//! unless [told otherwise](Dns::longest). What [holds for every registry](purlin_sd) holds here
//! too. Nobody registers in DNS this way, so there is no [`Registry`](purlin_sd::Registry).
//!
//! # What an answer means
//!
//! - Each address of each target is an instance, whose id is its address: `10.0.0.7:9110`.
//! - Of SRV records, those of the lowest priority are served whose targets have any address at all.
//!   Those of higher priorities are not asked for until then. The record's weight is the
//!   instance's; if all are 0, all are 1.
//! - That a name does not exist, or has no such records, is believed, and so is the target `.`:
//!   there are no instances.
//! - Everything else is a failure, which leaves what was found last: SERVFAIL, a timeout, an answer
//!   that makes no sense. This goes for each target too: one that can't be asked for keeps the
//!   addresses that it had.
//! - A record with port 0, or whose target does not exist, is no instance. The others are served,
//!   and [`Snapshot::error`](purlin_sd::Snapshot::error) says so; if there are no others, it is a
//!   failure.
//!
//! An answer that is too large for UDP is fetched by TCP.

mod dns;
mod records;

pub use dns::Dns;
