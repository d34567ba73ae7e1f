//! Service discovery with etcd.
//!
//! ```
//! use purlin_sd::{Discovery, Instance, Registrar};
//! use purlin_sd_etcd::Etcd;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let etcd = Etcd::new(["http://127.0.0.1:2379"])?.prefix("/services/");
//!
//! let registry = etcd.registry("greeter").time_to_live(Duration::from_secs(15));
//! let registration = Registrar::new().start(registry, Instance::new("10.0.0.7:9110"))?;
//!
//! let instancer = Discovery::new().start(etcd.source("greeter"))?;
//! // Neither waits for etcd.
//! assert!(!registration.state().is_registered());
//! assert!(!instancer.snapshot().is_known());
//! # Ok(())
//! # }
//! ```
//!
//! It speaks version 3 of etcd's interface, which etcd has had since 3.0, over gRPC. Several
//! endpoints are members of one cluster: one of them is asked, and after a failure the next.
//!
//! # What is kept in etcd
//!
//! An instance is the value, as JSON, of the key `{prefix}{service}/{id}`, so anybody can read and
//! write it:
//!
//! ```sh
//! etcdctl put /services/greeter/7 '{"id": "7", "address": "10.0.0.7:9110"}'
//! ```
//!
//! Only `address` must be there; [`Instance`](purlin_sd::Instance) has the other fields. A value
//! that makes no sense is left out, which [`Snapshot::error`](purlin_sd::Snapshot::error) then
//! says.
//!
//! # How it is kept up
//!
//! - A source lists the instances at one revision and watches from the next, so it misses nothing.
//!   Whatever ends the watch (a broken connection, a compaction, a member that has lost its
//!   cluster's leader), it lists again. Every two seconds it asks something small, to notice a
//!   connection that is dead and doesn't say so.
//! - A registration hangs on a lease that is renewed each third of its time to live. When it ends,
//!   or the key is deleted, lease and key are made anew, for ever. When the process is killed, the
//!   key goes with the lease. Taken back, the lease is revoked, which leaves a key alone that
//!   somebody else has written since.
//! - If two register under one id, the later one is found, until it goes.
//!
//! # Features
//!
//! - `rustls`: members behind `https`, their certificates checked against the web's authorities or
//!   one's own by `Etcd::ca`; and a certificate to show them, by `Etcd::identity`.

mod client;
mod registry;
mod source;
#[cfg(test)]
mod storms;
#[cfg(feature = "rustls")]
mod tls;

pub use registry::EtcdRegistry;
pub use source::EtcdSource;

use purlin_endpoint::Invalid;
use std::{fmt, time::Duration};
use tonic::transport::Endpoint;

/// An etcd cluster, and where in it the instances are.
#[derive(Clone)]
pub struct Etcd {
    members: Vec<Endpoint>,
    dial: client::Dial,
    user: Option<User>,
    prefix: String,
    patience: Duration,
    #[cfg(feature = "rustls")]
    tls: tls::Tls,
}

#[derive(Clone)]
struct User {
    name: String,
    password: String,
}

impl Etcd {
    /// The cluster with these members, such as `http://127.0.0.1:2379`, or `https` with the feature
    /// `rustls`. Instances are below `/services/` unless [`prefix`](Self::prefix) says otherwise.
    ///
    /// # Errors
    ///
    /// If there is no endpoint, or one that is no such address.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, Invalid> {
        let members: Vec<Endpoint> = endpoints
            .into_iter()
            .map(|endpoint| member(endpoint.into()))
            .collect::<Result<_, _>>()?;
        if members.is_empty() {
            return Err(Invalid { field: "endpoints", why: "must name at least one" });
        }
        let (prefix, patience) = ("/services/".to_owned(), Duration::from_secs(2));
        Ok(Self {
            members,
            dial: client::by_tcp(),
            user: None,
            prefix,
            patience,
            #[cfg(feature = "rustls")]
            tls: tls::Tls::default(),
        })
    }

    /// Who to be, where etcd asks for it.
    #[must_use]
    pub fn user(self, name: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: Some(User { name: name.into(), password: password.into() }), ..self }
    }

    /// What the keys of all services begin with: `/services/` unless set.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// How long to wait for an answer before another member is asked: 2 s unless set.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Follows the instances of a service.
    pub fn source(&self, service: impl AsRef<str>) -> EtcdSource {
        EtcdSource::new(self.clone(), &self.folder(service.as_ref()))
    }

    /// Registers one instance of a service.
    pub fn registry(&self, service: impl AsRef<str>) -> EtcdRegistry {
        EtcdRegistry::new(self.clone(), self.folder(service.as_ref()))
    }

    /// What the keys of all instances of a service begin with.
    fn folder(&self, service: &str) -> String {
        format!("{}{service}/", self.prefix)
    }
}

fn member(endpoint: String) -> Result<Endpoint, Invalid> {
    let wrong = |why| Invalid { field: "endpoints", why };
    let unlike = || wrong("must be like http://127.0.0.1:2379");
    let member = Endpoint::from_shared(endpoint).map_err(|_| unlike())?;
    let uri = member.uri();
    match uri.scheme_str().filter(|_| uri.host().is_some()) {
        Some("http") => Ok(member),
        #[cfg(feature = "rustls")]
        Some("https") => tls::Tls::default().on(&member).map_err(|_| unlike()),
        #[cfg(not(feature = "rustls"))]
        Some("https") => Err(wrong("can be https with the feature rustls only")),
        _ => Err(unlike()),
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<_> = self.members.iter().map(Endpoint::uri).collect();
        f.debug_struct("Etcd")
            .field("members", &members)
            // Nobody's password belongs into a log.
            .field("user", &self.user.as_ref().map(|user| &user.name))
            .field("prefix", &self.prefix)
            .field("patience", &self.patience)
            .finish()
    }
}
