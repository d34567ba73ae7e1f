//! Service discovery: who serves, and where.
//!
//! ```
//! use purlin_sd::{Discovery, Endpoints, Instance, Memory, Registrar};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let registry = Memory::new();
//!
//! // A server says that it is there, once it listens.
//! let instance = Instance::new("10.0.0.7:9110");
//! let registration = Registrar::new().start(registry.registry("greeter"), instance)?;
//! registration.registered().await;
//!
//! // A client makes something to call each instance with: here, its URL.
//! let mut instancer = Discovery::new().start(registry.source("greeter"))?;
//! instancer.known().await;
//! let urls = Endpoints::new(instancer, |instance| Ok(format!("http://{}", instance.address)));
//! assert_eq!(*urls.members()[0].endpoint().as_str(), *"http://10.0.0.7:9110");
//!
//! registration.deregister().await?;
//! # Ok(())
//! # }
//! ```
//!
//! An [`Instancer`] is a watch of the instances that a registry knows, a [`Registration`] is one of
//! them as its own process sees it, and [`Endpoints`] has what is needed to call each. They are the
//! same for all registries. A registry is a [`Source`] and a [`Registry`]; [`Memory`] and, with the
//! feature `file`, `File` are here, and others in crates of their own.
//!
//! # What holds for every registry
//!
//! - Starting never fails and never waits: a registry, or a service, may come later.
//! - While the registry is away, the last good set is served; for ever, unless an
//!   [expiry](Discovery::expiry) is set.
//! - An empty answer right after a full one is [held back](Discovery::empty) for 30 s, since a
//!   registry that lost its data looks like that.
//! - What has changed is known within two seconds of when the registry can be reached again, and
//!   it is asked about once a second at most.
//! - A subscriber that is slow or gone holds up nobody.
//! - A registration that is lost is made again, for ever, within a second of when the registry can
//!   be reached again.
//! - Dropping an [`Instancer`] or a [`Registration`] ends its task and closes its connections.
//!
//! # Features
//!
//! - `file`: a registry that is a JSON file.
//! - `serde`: [`Instance`] as JSON.
//! - `conformance`: the tests that every backend has to pass.

#[cfg(feature = "conformance")]
pub mod conformance;
mod discovery;
mod endpoints;
#[cfg(feature = "file")]
mod file;
mod instance;
mod keeper;
mod memory;
mod registration;

pub use discovery::{Discovery, Found, Instancer, Snapshot, Source};
pub use endpoints::{Endpoints, Member, Members};
#[cfg(feature = "file")]
pub use file::{File, FileRegistry, FileSource};
pub use instance::Instance;
pub use keeper::EmptyAnswer;
pub use memory::{Memory, MemoryRegistry, MemorySource};
pub use registration::{Registrar, Registration, Registry, Standing, State};
