use crate::{
    Acceptor, Certificate, Credentials, Pem, TlsError,
    material::{Contents, Material, alpn, check, provider, versions},
    sni::BySni,
    store::Store,
};
use purlin_endpoint::Invalid;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Which certificates a server shows, and whose it asks for.
///
/// The defaults: no client certificates, HTTP/2 and HTTP/1.1, TLS 1.3 and 1.2, files read every
/// 500 ms, 1,000 handshakes at a time.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct ServerTls {
    credentials: Vec<Credentials>,
    client_ca: Option<Pem>,
    client_optional: bool,
    revoked: Option<Pem>,
    alpn: Vec<String>,
    tls13_only: bool,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    interval: Duration,
    handshake_limit: usize,
}

impl Default for ServerTls {
    fn default() -> Self {
        Self {
            credentials: Vec::new(),
            client_ca: None,
            client_optional: false,
            revoked: None,
            alpn: vec!["h2".to_owned(), "http/1.1".to_owned()],
            tls13_only: false,
            interval: Duration::from_millis(500),
            handshake_limit: 1000,
        }
    }
}

impl ServerTls {
    /// Shows this certificate.
    pub fn new(credentials: Credentials) -> Self {
        Self::default().credentials(credentials)
    }

    /// Shows this one to clients that ask for one of its names, and the one that was given first to
    /// those that ask for none or for another.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials.push(credentials);
        self
    }

    /// Asks clients for a certificate of one of these authorities. Who has none is refused.
    ///
    /// When they change, every connection ends behind the calls that it has, within
    /// [`age_grace`](purlin_serve::Server::age_grace), so that nobody stays whom the new ones would
    /// refuse. A certificate that merely expires ends no connection: that is what
    /// [`age`](purlin_serve::Server::age) is for.
    #[must_use]
    pub fn client_ca(mut self, authorities: Pem) -> Self {
        self.client_ca = Some(authorities);
        self
    }

    /// Takes clients without a certificate too. Who shows a wrong one is refused all the same.
    #[must_use]
    pub fn client_optional(mut self) -> Self {
        self.client_optional = true;
        self
    }

    /// Refuses the client certificates on these lists, and all on whose issuer there is no list.
    /// When the lists change, connections end as with [`client_ca`](Self::client_ca).
    #[must_use]
    pub fn revoked(mut self, lists: Pem) -> Self {
        self.revoked = Some(lists);
        self
    }

    /// Which protocols are spoken inside, the best first: `h2`, `http/1.1` unless set.
    ///
    /// A client that names protocols, none of which is among these, is refused.
    #[must_use]
    pub fn alpn<T: Into<String>>(mut self, protocols: impl IntoIterator<Item = T>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Refuses TLS 1.2.
    #[must_use]
    pub fn tls13_only(mut self) -> Self {
        self.tls13_only = true;
        self
    }

    /// How often files are read again: every 500 ms unless set.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How many clients may shake hands at a time: 1,000 unless set. Others wait.
    ///
    /// Who has said nothing yet doesn't count. How long it all may take is the server's
    /// [`handshake_timeout`](purlin_serve::Server::handshake_timeout).
    #[must_use]
    pub fn handshake_limit(mut self, handshakes: usize) -> Self {
        self.handshake_limit = handshakes;
        self
    }

    /// Reads all that has to be read.
    ///
    /// # Errors
    ///
    /// If there is no certificate, or one of them, its key or anything else can't be used.
    pub fn acceptor(self) -> Result<Acceptor, TlsError> {
        check(self.interval, &self.alpn)?;
        if self.credentials.is_empty() {
            return Err(Invalid { field: "credentials", why: "must not be empty" }.into());
        }
        if self.handshake_limit == 0 {
            return Err(Invalid { field: "handshake_limit", why: "must be at least one" }.into());
        }
        if self.client_ca.is_none() && (self.client_optional || self.revoked.is_some()) {
            return Err(Invalid { field: "client_ca", why: "must be given" }.into());
        }
        let limit = self.handshake_limit;
        Ok(Acceptor::new(Store::new(self)?, limit))
    }

    fn verifier(
        &self,
        authorities: &Pem,
        read: &Contents,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let mut roots = RootCertStore::empty();
        read.trust(authorities, &mut roots)?;
        let mut builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .with_crls(read.revoked(self.revoked.as_ref())?);
        if self.client_optional {
            builder = builder.allow_unauthenticated();
        }
        builder
            .build()
            .map_err(|source| TlsError::unfit(self.revoked.as_ref().unwrap_or(authorities), source))
    }
}

impl Material for ServerTls {
    type Made = ServerConfig;

    fn pems(&self) -> Vec<&Pem> {
        let credentials = self.credentials.iter().flat_map(|it| [&it.certificate, &it.key]);
        credentials.chain(&self.client_ca).chain(&self.revoked).collect()
    }

    fn judged_by(&self) -> Vec<&Pem> {
        self.client_ca.iter().chain(&self.revoked).collect()
    }

    fn interval(&self) -> Duration {
        self.interval
    }

    fn make(
        &self,
        read: &Contents,
        now: SystemTime,
    ) -> Result<(ServerConfig, Vec<Certificate>), TlsError> {
        let provider = provider();
        let (mut by_sni, mut certificates) = (Vec::new(), Vec::new());
        for credentials in &self.credentials {
            let (certified, certificate) = read.certified(credentials, &provider, now)?;
            by_sni.push((certificate.identity.clone(), Arc::new(certified)));
            certificates.push(certificate);
        }
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(self.tls13_only))
            .map_err(|source| TlsError::unfit(&"ring", source))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                builder.with_client_cert_verifier(self.verifier(authorities, read, &provider)?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(BySni(by_sni)));
        config.alpn_protocols = alpn(&self.alpn);
        if self.client_ca.is_some() {
            // Who resumes shows no certificate: one that has expired meanwhile would still count.
            config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        }
        Ok((config, certificates))
    }
}
