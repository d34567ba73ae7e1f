use crate::{
    Certificate, Connector, Credentials, Pem, TlsError,
    material::{Contents, Material, alpn, check, provider, versions},
    store::Store,
};
use purlin_endpoint::Invalid;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::SingleCertAndKey,
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Which servers a client trusts, and which certificate it shows to them.
///
/// The defaults: nobody is trusted yet, no certificate of its own, HTTP/2 and HTTP/1.1, TLS 1.3 and
/// 1.2, the name in the URI, files read every 500 ms.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct ClientTls {
    ca: Vec<Pem>,
    #[cfg(feature = "webpki-roots")]
    webpki_roots: bool,
    credentials: Option<Credentials>,
    server_name: Option<String>,
    revoked: Option<Pem>,
    alpn: Vec<String>,
    tls13_only: bool,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    interval: Duration,
    dangerous_accept_any_certificate: bool,
}

impl Default for ClientTls {
    fn default() -> Self {
        Self {
            ca: Vec::new(),
            #[cfg(feature = "webpki-roots")]
            webpki_roots: false,
            credentials: None,
            server_name: None,
            revoked: None,
            alpn: vec!["h2".to_owned(), "http/1.1".to_owned()],
            tls13_only: false,
            interval: Duration::from_millis(500),
            dangerous_accept_any_certificate: false,
        }
    }
}

impl ClientTls {
    /// A client that trusts nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these authorities, besides those that were given before.
    #[must_use]
    pub fn ca(mut self, authorities: Pem) -> Self {
        self.ca.push(authorities);
        self
    }

    /// Trusts whom the web trusts, as Mozilla sees it.
    #[cfg(feature = "webpki-roots")]
    #[must_use]
    pub fn webpki_roots(mut self) -> Self {
        self.webpki_roots = true;
        self
    }

    /// Shows this certificate to servers that ask for one.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Asks every server for a certificate of this name, or address, in place of the URI's host.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Refuses the certificates on these lists, and all on whose issuer there is no list.
    #[must_use]
    pub fn revoked(mut self, lists: Pem) -> Self {
        self.revoked = Some(lists);
        self
    }

    /// Which protocols can be spoken inside: `h2`, `http/1.1` unless set. The server chooses.
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

    /// Talks to **whoever answers**, whatever certificate it has. What is sent can be read and
    /// changed by everybody on the way: this is for a look at a server under test, at most.
    #[must_use]
    pub fn dangerous_accept_any_certificate(mut self) -> Self {
        self.dangerous_accept_any_certificate = true;
        self
    }

    /// Reads all that has to be read.
    ///
    /// # Errors
    ///
    /// If nobody is trusted, or an authority, the certificate, its key or anything else can't be
    /// used.
    pub fn connector(self) -> Result<Connector, TlsError> {
        check(self.interval, &self.alpn)?;
        if !(self.trusts() || self.dangerous_accept_any_certificate) {
            return Err(
                Invalid { field: "ca", why: "must be given, or no server is trusted" }.into()
            );
        }
        let name = self.server_name.clone().map(ServerName::try_from).transpose();
        let name = name.map_err(|_| Invalid {
            field: "server_name",
            why: "must be a DNS name or an IP address",
        })?;
        Ok(Connector::new(Store::new(self)?, name))
    }

    fn trusts(&self) -> bool {
        #[cfg(feature = "webpki-roots")]
        if self.webpki_roots {
            return true;
        }
        !self.ca.is_empty()
    }

    fn verifier(
        &self,
        read: &Contents,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        if self.dangerous_accept_any_certificate {
            return Ok(Arc::new(AnyCertificate(Arc::clone(provider))));
        }
        let mut roots = RootCertStore::empty();
        #[cfg(feature = "webpki-roots")]
        if self.webpki_roots {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for authorities in &self.ca {
            read.trust(authorities, &mut roots)?;
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .with_crls(read.revoked(self.revoked.as_ref())?)
                .build();
        match verifier {
            Ok(verifier) => Ok(verifier),
            Err(source) => {
                let what = self.revoked.as_ref().or(self.ca.first());
                Err(TlsError::unfit(&what.map_or_else(String::new, Pem::to_string), source))
            }
        }
    }
}

impl Material for ClientTls {
    type Made = ClientConfig;

    fn pems(&self) -> Vec<&Pem> {
        let credentials = self.credentials.iter().flat_map(|it| [&it.certificate, &it.key]);
        credentials.chain(&self.ca).chain(&self.revoked).collect()
    }

    fn judged_by(&self) -> Vec<&Pem> {
        self.ca.iter().chain(&self.revoked).collect()
    }

    fn interval(&self) -> Duration {
        self.interval
    }

    fn make(
        &self,
        read: &Contents,
        now: SystemTime,
    ) -> Result<(ClientConfig, Vec<Certificate>), TlsError> {
        let provider = provider();
        // It is called dangerous for what may be given here; what is given here is rustls's own
        // verifier, unless the user wants it otherwise.
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(self.tls13_only))
            .map_err(|source| TlsError::unfit(&"ring", source))?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(read, &provider)?);
        let (mut config, certificates) = match &self.credentials {
            None => (builder.with_no_client_auth(), Vec::new()),
            Some(credentials) => {
                let (certified, certificate) = read.certified(credentials, &provider, now)?;
                let resolver = SingleCertAndKey::from(certified);
                (builder.with_client_cert_resolver(Arc::new(resolver)), vec![certificate])
            }
        };
        config.alpn_protocols = alpn(&self.alpn);
        Ok((config, certificates))
    }
}

/// Takes every certificate, and still wants its key to be there.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _issuers: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
