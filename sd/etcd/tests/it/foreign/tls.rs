//! An etcd that speaks TLS, and lets in only those whom its authority knows.

use super::{PATIENCE, follow, found, register, server::Server};
use crate::pki::Authority;
use purlin_endpoint::Code;
use purlin_sd_etcd::Etcd;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;

/// An etcd that has been found to work, and who can sign for it. The folder has its certificates.
struct Secure {
    server: Server,
    authority: Authority,
    _folder: TempDir,
}

impl Secure {
    async fn start() -> Self {
        let authority = Authority::new("ours");
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, pem: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, pem).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (certificate, key) = authority.sign("127.0.0.1");
        let options = [
            "--client-cert-auth".to_owned(),
            format!("--trusted-ca-file={}", write("ca.pem", &authority.pem())),
            format!("--cert-file={}", write("etcd.pem", &certificate)),
            format!("--key-file={}", write("etcd.key", &key)),
        ];
        let secure = Self { server: Server::secure(&options), authority, _folder: folder };
        found(&mut follow(&secure.trusted(), "s"), &[]).await;
        secure
    }

    fn etcd(&self) -> Etcd {
        Etcd::new([format!("https://{}", self.server.address())]).unwrap()
    }

    fn trusted(&self) -> Etcd {
        let (certificate, key) = self.authority.sign("client");
        self.etcd().ca(self.authority.pem()).unwrap().identity(certificate, key).unwrap()
    }
}

/// Why nothing is found there.
async fn why_not(etcd: &Etcd) -> (Code, String) {
    let mut instancer = follow(etcd, "s");
    let seen = timeout(PATIENCE, instancer.changed()).await.unwrap();
    assert!(!seen.is_known(), "nobody is let in: {seen:?}");
    let error = seen.error().expect("it can't be asked");
    (error.code(), error.message().to_owned())
}

#[tokio::test]
async fn who_has_a_certificate_finds_and_registers_in_an_etcd_that_has_one() {
    let secure = Secure::start().await;
    let etcd = secure.trusted();
    let mut instancer = follow(&etcd, "s");
    let registration = register(&etcd, "s", Duration::from_secs(15), "a");
    found(&mut instancer, &["a"]).await;
    registration.deregister().await.unwrap();
    found(&mut instancer, &[]).await;
}

#[tokio::test]
async fn who_trusts_somebody_else_is_told_so_and_who_is_not_trusted_is_not_let_in() {
    let secure = Secure::start().await;
    let (stranger, address) = (Authority::new("another"), secure.server.address());
    let wrong =
        format!("https://{address}/ can't be reached: invalid peer certificate: UnknownIssuer");
    let elsewhere = secure.etcd().ca(stranger.pem()).unwrap();
    assert_eq!(why_not(&elsewhere).await, (Code::Unavailable, wrong.clone()));
    // Nor do the web's authorities know it.
    assert_eq!(why_not(&secure.etcd()).await, (Code::Unavailable, wrong));

    let (certificate, key) = stranger.sign("client");
    let nobody = secure.etcd().ca(secure.authority.pem()).unwrap();
    let unknown = nobody.clone().identity(certificate, key).unwrap();
    for etcd in [nobody, unknown] {
        // Why, is a matter of luck: etcd says so and closes the connection, which is still being
        // written to, as in TLS 1.3 a client has begun to speak before it is known.
        why_not(&etcd).await;
    }
}
