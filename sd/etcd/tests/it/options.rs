//! What needs no etcd.

#[cfg(feature = "rustls")]
use crate::pki::Authority;
use purlin_endpoint::Code;
use purlin_sd::{Instance, Registrar, State};
use purlin_sd_etcd::Etcd;

#[test]
fn etcd_1_a_cluster_has_a_member_and_each_an_address() {
    let none: [&str; 0] = [];
    assert_eq!(Etcd::new(none).unwrap_err().why, "must name at least one");
    for wrong in ["", "127.0.0.1:2379", "ftp://127.0.0.1:2379", "http://", "http:///x", "https://"]
    {
        assert_eq!(Etcd::new([wrong]).unwrap_err().field, "endpoints", "{wrong}");
    }
    assert!(Etcd::new(["http://127.0.0.1:2379", "http://etcd.example:2379"]).is_ok());
}

#[cfg(not(feature = "rustls"))]
#[test]
fn https_without_tls_is_refused_with_the_reason() {
    let refused = Etcd::new(["https://127.0.0.1:2379"]).unwrap_err();
    assert_eq!(refused.to_string(), "endpoints can be https with the feature rustls only");
}

#[cfg(feature = "rustls")]
#[test]
fn etcd_3_certificates_that_make_no_sense_are_refused_when_they_are_given() {
    let member = "https://127.0.0.1:2379";
    let etcd = |member| Etcd::new([member]).unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in ["", "no PEM", broken] {
        assert_eq!(etcd(member).ca(pem).unwrap_err().field, "ca", "{pem}");
        assert_eq!(etcd(member).identity(pem, pem).unwrap_err().field, "identity", "{pem}");
    }
    let (a, b) = (Authority::new("a"), Authority::new("b"));
    let ((a_certificate, a_key), (_, b_key)) = (a.sign("127.0.0.1"), b.sign("127.0.0.1"));
    let mixed = etcd(member).identity(&a_certificate, b_key).unwrap_err();
    assert_eq!(mixed.to_string(), "identity must be a certificate and its key as PEM");
    let etcd_with_key = etcd(member).identity(a_certificate, &a_key).unwrap();
    assert!(!format!("{:?}", etcd_with_key.source("s")).contains("PRIVATE"));
    let open = etcd("http://127.0.0.1:2379").ca(a.pem()).unwrap_err();
    assert_eq!(open.to_string(), "endpoints must be https where certificates are given");
}

#[test]
fn a_password_is_not_shown() {
    let etcd = Etcd::new(["http://127.0.0.1:2379"]).unwrap().user("root", "s3cret");
    let shown = format!("{etcd:?} {:?} {:?}", etcd.source("s"), etcd.registry("s"));
    assert!(shown.contains("root") && !shown.contains("s3cret"), "{shown}");
}

/// Go kit refuses an empty value too, which an instance never is.
#[tokio::test]
async fn etcd_2_an_instance_without_an_id_is_refused() {
    let etcd = Etcd::new(["http://127.0.0.1:1"]).unwrap();
    let registration = Registrar::new().start(etcd.registry("s"), Instance::new("")).unwrap();
    let mut states = registration.subscribe();
    states.changed().await.unwrap();
    let state = states.borrow().clone();
    assert!(matches!(state, State::Lost(why) if why.code() == Code::InvalidArgument));
}
