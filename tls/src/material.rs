//! What is read from files, and what is made of it.

use crate::{Certificate, Credentials, Pem, TlsError};
use purlin_endpoint::Invalid;
use rustls::{
    RootCertStore, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// A configuration that is made of files, and made anew when they change.
pub(crate) trait Material: Send + Sync + 'static {
    type Made: Send + Sync + 'static;

    /// All that has to be read.
    fn pems(&self) -> Vec<&Pem>;

    /// Those of them by which the other side of a connection was judged when it was made.
    fn judged_by(&self) -> Vec<&Pem>;

    /// How often it is read again.
    fn interval(&self) -> Duration;

    /// The whole configuration, as it can be used now, and the certificates that it shows to the
    /// other side.
    fn make(
        &self,
        read: &Contents,
        now: SystemTime,
    ) -> Result<(Self::Made, Vec<Certificate>), TlsError>;
}

/// By ring, and never by what the process may have installed.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

static VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

pub(crate) fn versions(tls13_only: bool) -> &'static [&'static SupportedProtocolVersion] {
    if tls13_only { &VERSIONS[..1] } else { &VERSIONS }
}

pub(crate) fn alpn(protocols: &[String]) -> Vec<Vec<u8>> {
    protocols.iter().map(|name| name.as_bytes().to_vec()).collect()
}

pub(crate) fn check(interval: Duration, alpn: &[String]) -> Result<(), Invalid> {
    if interval.is_zero() {
        return Err(Invalid { field: "interval", why: "must be more than zero" });
    }
    if alpn.iter().any(|name| !(1..=255).contains(&name.len())) {
        return Err(Invalid { field: "alpn", why: "must have names of 1 to 255 bytes" });
    }
    Ok(())
}

/// What was in the files when they were read.
#[derive(PartialEq)]
pub(crate) struct Contents(BTreeMap<PathBuf, Vec<u8>>);

impl Contents {
    pub(crate) fn read(pems: &[&Pem]) -> Result<Self, TlsError> {
        let mut files = BTreeMap::new();
        for pem in pems {
            if let Pem::File(file) = pem {
                let read = fs::read(file);
                let read =
                    read.map_err(|source| TlsError::Unreadable { file: file.clone(), source })?;
                files.insert(file.clone(), read);
            }
        }
        Ok(Self(files))
    }

    fn bytes<'a>(&'a self, pem: &'a Pem) -> &'a [u8] {
        match pem {
            Pem::File(file) => self.0.get(file).map_or(&[], Vec::as_slice),
            Pem::Text(text) => text.as_bytes(),
        }
    }

    /// Whether these hold the same here and there.
    pub(crate) fn agrees(&self, other: &Self, pems: &[&Pem]) -> bool {
        pems.iter().all(|pem| self.bytes(pem) == other.bytes(pem))
    }

    /// All of a kind that a PEM holds, at least one.
    fn all<T: PemObject>(&self, pem: &Pem, kind: &'static str) -> Result<Vec<T>, TlsError> {
        let found: Result<Vec<T>, _> = T::pem_slice_iter(self.bytes(pem)).collect();
        let found = found.map_err(|source| malformed(pem, source))?;
        match found.is_empty() {
            true => Err(TlsError::Empty { what: pem.to_string(), kind }),
            false => Ok(found),
        }
    }

    pub(crate) fn revoked(
        &self,
        pem: Option<&Pem>,
    ) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
        pem.map_or(Ok(Vec::new()), |pem| self.all(pem, "revocation list"))
    }

    /// Adds the authorities in a PEM to others.
    pub(crate) fn trust(&self, pem: &Pem, roots: &mut RootCertStore) -> Result<(), TlsError> {
        for certificate in self.all(pem, "certificate")? {
            roots.add(certificate).map_err(|source| TlsError::unfit(pem, source))?;
        }
        Ok(())
    }

    /// A certificate that belongs to its key and is valid now.
    pub(crate) fn certified(
        &self,
        credentials: &Credentials,
        provider: &CryptoProvider,
        now: SystemTime,
    ) -> Result<(CertifiedKey, Certificate), TlsError> {
        let Credentials { certificate: what, key } = credentials;
        let chain: Vec<CertificateDer<'_>> = self.all(what, "certificate")?;
        let mut first = None;
        for certificate in &chain {
            let read = Certificate::read(certificate).map_err(|why| TlsError::unfit(what, why))?;
            in_time(what, &read, now)?;
            first.get_or_insert(read);
        }
        let secret =
            PrivateKeyDer::from_pem_slice(self.bytes(key)).map_err(|source| match source {
                pem::Error::NoItemsFound => TlsError::Empty { what: key.to_string(), kind: "key" },
                source => malformed(key, source),
            })?;
        let certified = CertifiedKey::from_der(chain, secret, provider);
        let certified = certified.map_err(|source| match source {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::Mismatched { certificate: what.to_string(), key: key.to_string() }
            }
            source => TlsError::unfit(key, source),
        })?;
        let first = first.ok_or(TlsError::Empty { what: what.to_string(), kind: "certificate" })?;
        Ok((certified, first))
    }
}

fn in_time(pem: &Pem, certificate: &Certificate, now: SystemTime) -> Result<(), TlsError> {
    let what = pem.to_string();
    let Certificate { not_before, not_after, .. } = *certificate;
    if now > not_after {
        return Err(TlsError::Expired { what, not_after });
    }
    if now < not_before {
        return Err(TlsError::NotYetValid { what, not_before });
    }
    Ok(())
}

fn malformed(pem: &Pem, source: pem::Error) -> TlsError {
    TlsError::Malformed { what: pem.to_string(), source }
}
