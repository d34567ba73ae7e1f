use std::{fmt, sync::Arc};

/// Who is at the other side of a connection: the names that its certificate gives it, and that an
/// authority which the server trusts vouches for.
///
/// Only what shook hands with the peer makes one, as TLS with client certificates does; a server
/// puts it into the context of every call on that connection, and no header can change it. A call
/// without one is anybody's. Clones share the names.
///
/// ```
/// use purlin_endpoint::{Context, Identity};
///
/// let identity = Identity::default().uri("spiffe://acme/billing").dns_name("billing.acme.test");
/// let context = Context::new().with_peer_identity(identity);
///
/// let caller = context.peer_identity().unwrap();
/// assert_eq!(caller.spiffe_id(), Some("spiffe://acme/billing"));
/// assert_eq!(caller.dns_names(), ["billing.acme.test"]);
/// assert!(context.outgoing().peer_identity().is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity(Arc<Names>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Names {
    uris: Vec<String>,
    dns_names: Vec<String>,
}

impl Identity {
    /// Adds a URI that it is known by.
    #[must_use]
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).uris.push(uri.into());
        self
    }

    /// Adds a DNS name that it is known by. It may begin with `*.`, and stands for itself then.
    #[must_use]
    pub fn dns_name(mut self, name: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).dns_names.push(name.into());
        self
    }

    /// The URIs that it is known by, in the certificate's order.
    pub fn uris(&self) -> &[String] {
        &self.0.uris
    }

    /// The DNS names that it is known by, in the certificate's order.
    pub fn dns_names(&self) -> &[String] {
        &self.0.dns_names
    }

    /// Its SPIFFE id. As the X.509-SVID standard has it, that is its URI if it has only one.
    pub fn spiffe_id(&self) -> Option<&str> {
        match self.uris() {
            [id] if id.starts_with("spiffe://") => Some(id),
            _ => None,
        }
    }
}

/// Its names, with commas between them.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.uris().iter().chain(self.dns_names()).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_two_uris_has_no_spiffe_id() {
        let one = Identity::default().uri("spiffe://acme/a");
        assert_eq!(one.spiffe_id(), Some("spiffe://acme/a"));
        assert_eq!(one.uri("https://a.test/").spiffe_id(), None);
        assert_eq!(Identity::default().uri("https://a.test/").spiffe_id(), None);
    }

    #[test]
    fn it_is_shown_by_its_names() {
        let identity = Identity::default().dns_name("*.acme.test").uri("spiffe://acme/a");
        assert_eq!(identity.to_string(), "spiffe://acme/a,*.acme.test");
        assert_eq!(Identity::default().to_string(), "");
    }
}
