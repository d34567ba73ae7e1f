use purlin_endpoint::Identity;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{fmt, sync::Arc};

/// Several certificates: the one that is for the name which the client asks for, or else the first.
///
/// Of several for the same name, it is the first whose kind of key the client understands.
pub(crate) struct BySni(pub(crate) Vec<(Identity, Arc<CertifiedKey>)>);

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name();
        let named = |(identity, _): &&(Identity, _)| {
            asked.is_some_and(|asked| identity.dns_names().iter().any(|name| is_for(name, asked)))
        };
        let schemes = hello.signature_schemes();
        let fitting = self.0.iter().filter(named).chain(&self.0);
        let understood =
            |(_, key): &&(_, Arc<CertifiedKey>)| key.key.choose_scheme(schemes).is_some();
        fitting.clone().find(understood).or(fitting.clone().next()).map(|(_, key)| key.clone())
    }
}

impl fmt::Debug for BySni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(identity, _)| identity)).finish()
    }
}

/// Whether a certificate's name is for a host. Its `*` stands for one label.
fn is_for(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        None => name.eq_ignore_ascii_case(host),
        Some(domain) => {
            host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_for;

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(is_for("a.test", "A.TEST"));
        assert!(is_for("*.a.test", "b.A.test"));
        assert!(!is_for("*.a.test", "a.test"));
        assert!(!is_for("*.a.test", "c.b.a.test"));
        assert!(!is_for("a.test", "b.test"));
    }
}
