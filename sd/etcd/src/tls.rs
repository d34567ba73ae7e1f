//! What makes a member trusted, and trust us.

use crate::Etcd;
use purlin_endpoint::Invalid;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, TrustAnchor, pem::PemObject},
};
use tonic::transport::{ClientTlsConfig, Endpoint, Error, Identity};

#[derive(Clone, Default)]
pub(crate) struct Tls {
    /// The web's, if there are none.
    authorities: Vec<TrustAnchor<'static>>,
    identity: Option<Identity>,
}

impl Tls {
    /// A member that is connected to in this way.
    pub(crate) fn on(&self, member: &Endpoint) -> Result<Endpoint, Error> {
        let mut config = ClientTlsConfig::new();
        config = match &self.authorities[..] {
            [] => config.with_webpki_roots(),
            authorities => config.trust_anchors(authorities.to_vec()),
        };
        if let Some(identity) = &self.identity {
            config = config.identity(identity.clone());
        }
        member.clone().tls_config(config)
    }
}

impl Etcd {
    /// Trusts members whose certificates these authorities have signed, given as PEM, and no
    /// others: the web's, unless this is set.
    ///
    /// # Errors
    ///
    /// If there is no certificate in it, or one that can't be read, or a member is not `https`.
    pub fn ca(mut self, pem: impl AsRef<[u8]>) -> Result<Self, Invalid> {
        let wrong = || Invalid { field: "ca", why: "must be certificates as PEM" };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_ref()) {
            let certificate = certificate.map_err(|_| wrong())?;
            roots.add(certificate).map_err(|_| wrong())?;
        }
        if roots.is_empty() {
            return Err(wrong());
        }
        self.tls.authorities = roots.roots;
        self.secured(wrong)
    }

    /// Shows members this certificate, which may be a chain, and proves it with its key, both given
    /// as PEM: for an etcd with `--client-cert-auth`. To one that does not accept it, connections
    /// break; its log says why.
    ///
    /// # Errors
    ///
    /// If they can't be read or don't belong together, or a member is not `https`.
    pub fn identity(
        mut self,
        certificate_pem: impl AsRef<[u8]>,
        key_pem: impl AsRef<[u8]>,
    ) -> Result<Self, Invalid> {
        self.tls.identity = Some(Identity::from_pem(certificate_pem, key_pem));
        let why = "must be a certificate and its key as PEM";
        self.secured(|| Invalid { field: "identity", why })
    }

    fn secured(mut self, wrong: impl Fn() -> Invalid) -> Result<Self, Invalid> {
        for member in &mut self.members {
            // Whoever cares for certificates does not mean to speak in the open.
            if member.uri().scheme_str() != Some("https") {
                let why = "must be https where certificates are given";
                return Err(Invalid { field: "endpoints", why });
            }
            *member = self.tls.on(member).map_err(|_| wrong())?;
        }
        Ok(self)
    }
}
