use purlin_endpoint::Identity;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::{
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use webpki::{EndEntityCert, Error, KeyUsage};

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certificate {
    /// The names that it is for.
    pub identity: Identity,
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// When it begins to be valid.
    pub not_before: SystemTime,
    /// When it ceases to be valid.
    pub not_after: SystemTime,
}

impl Certificate {
    pub(crate) fn read(der: &CertificateDer<'_>) -> Result<Self, Error> {
        let certificate = EndEntityCert::try_from(der)?;
        let identity = certificate.valid_uri_names().fold(Identity::default(), Identity::uri);
        let identity = certificate.valid_dns_names().fold(identity, Identity::dns_name);
        let mut serial = String::new();
        for byte in certificate.serial() {
            // Writing to a string can't fail.
            let _ = write!(serial, "{byte:02x}");
        }
        let (not_before, not_after) = dates(&certificate)?;
        Ok(Self { identity, serial, not_before, not_after })
    }
}

/// From when until when a certificate is valid.
///
/// The verifier keeps its dates to itself, but for a refusal, and looks at them first: so it is
/// asked what it thinks of the certificate at the beginning and at the end of time.
fn dates(certificate: &EndEntityCert<'_>) -> Result<(SystemTime, SystemTime), Error> {
    let asked = |since_epoch| {
        let at = UnixTime::since_unix_epoch(since_epoch);
        certificate.verify_for_usage(&[], &[], &[], at, KeyUsage::server_auth(), None, None)
    };
    let not_before = match asked(Duration::ZERO) {
        Err(Error::CertNotValidYet { not_before, .. }) => system_time(not_before),
        _ => UNIX_EPOCH,
    };
    match asked(Duration::MAX) {
        Err(Error::CertExpired { not_after, .. }) => Ok((not_before, system_time(not_after))),
        Err(error) => Err(error),
        Ok(_) => Err(Error::InvalidCertValidity),
    }
}

fn system_time(time: UnixTime) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs())).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType, SerialNumber, date_time_ymd};

    #[test]
    fn names_serial_and_dates_are_what_the_issuer_wrote() {
        let mut params =
            CertificateParams::new(["a.test".to_owned(), "*.b.test".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI("spiffe://acme/a".try_into().unwrap()));
        params.subject_alt_names.push(SanType::Rfc822Name("ann@acme.test".try_into().unwrap()));
        params.serial_number = Some(SerialNumber::from(vec![1, 0xab, 0]));
        params.not_before = date_time_ymd(2020, 1, 2);
        params.not_after = date_time_ymd(2021, 1, 2);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let read = Certificate::read(certificate.der()).unwrap();
        assert_eq!(read.identity.uris(), ["spiffe://acme/a"]);
        assert_eq!(read.identity.dns_names(), ["a.test", "*.b.test"]);
        assert_eq!(read.serial, "01ab00");
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert_eq!((seconds(read.not_before), seconds(read.not_after)), (1577923200, 1609545600));
    }

    #[test]
    fn what_is_no_certificate_is_an_error() {
        assert!(Certificate::read(&CertificateDer::from(b"\x30\x03abc".to_vec())).is_err());
    }
}
