use crate::world::*;
use purlin_tls::{ClientTls, Pem, ServerTls};
use rcgen::{
    CertificateRevocationListParams, DnType, KeyIdMethod, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// A server that asks for certificates of the authority, and a client that trusts it.
fn mutual(authority: &Authority) -> (ServerTls, ClientTls) {
    let (server, client) = pair(authority);
    (server.client_ca(authority.pem()), client)
}

async fn who(tls: ClientTls, address: SocketAddr) -> Result<String, String> {
    get(&client(&tls.connector().unwrap()), uri(address, "/identity")).await
}

#[tokio::test]
async fn the_names_in_a_clients_certificate_are_who_calls() {
    let authority = Authority::new("ca");
    let (server, trusting) = mutual(&authority);
    let (_running, address) = serve_tcp(&server.acceptor().unwrap()).await;
    let billing = authority.issue_with(&["spiffe://acme/billing", "billing.acme.test"], |params| {
        params.distinguished_name.push(DnType::CommonName, "admin");
    });
    for alpn in ["h2", "http/1.1"] {
        let tls = trusting.clone().alpn([alpn]).credentials(billing.credentials());
        assert_eq!(who(tls, address).await.unwrap(), "spiffe://acme/billing,billing.acme.test");
    }
    let nameless = authority.issue_with(&[], |params| {
        params.distinguished_name.push(DnType::CommonName, "admin");
    });
    // A common name is none.
    assert_eq!(who(trusting.credentials(nameless.credentials()), address).await.unwrap(), "");
}

#[tokio::test]
async fn whoever_comes_again_shows_the_certificate_again() {
    let authority = Authority::new("ca");
    let (server, trusting) = mutual(&authority);
    let (running, address) = serve_tcp(&server.acceptor().unwrap()).await;
    let ann = authority.issue(&["spiffe://acme/ann"]).credentials();
    let connector = trusting.alpn(["http/1.1"]).credentials(ann).connector().unwrap();
    let client = client(&connector).idle_limit(0);
    for _ in 0..3 {
        assert_eq!(get(&client, uri(address, "/identity")).await.unwrap(), "spiffe://acme/ann");
    }
    assert_eq!(running.handle.accepted(), 3);
}

#[tokio::test]
async fn who_has_no_certificate_or_a_wrong_one_is_refused() {
    let authority = Authority::new("ca");
    let (server, trusting) = mutual(&authority);
    let stranger = Authority::new("stranger").issue(&["spiffe://acme/billing"]);
    for (optional, unnamed) in [(false, Err(())), (true, Ok("nobody".to_owned()))] {
        let server = if optional { server.clone().client_optional() } else { server.clone() };
        let (running, address) = serve_tcp(&server.acceptor().unwrap()).await;
        assert_eq!(who(trusting.clone(), address).await.map_err(|_| ()), unnamed);
        if !optional {
            running.says("peer sent no certificates").await;
        }
        let tls = trusting.clone().credentials(stranger.credentials());
        who(tls, address).await.unwrap_err();
        running.says("UnknownIssuer").await;
    }
}

/// Asks with a certificate that our own client would not take.
async fn bare(address: SocketAddr, authority: &Authority, issued: &Issued) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .unwrap();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(b"GET /identity HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn an_expired_client_is_refused() {
    let authority = Authority::new("ca");
    let (server, _) = mutual(&authority);
    let (running, address) = serve_tcp(&server.acceptor().unwrap()).await;
    let late = authority.issue_with(&["spiffe://acme/ann"], |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    bare(address, &authority, &late).await.unwrap_err();
    running.says("expired").await;
    let ann = authority.issue(&["spiffe://acme/ann"]);
    assert!(bare(address, &authority, &ann).await.unwrap().ends_with("spiffe://acme/ann"));
}

#[tokio::test]
async fn a_servers_certificate_is_not_a_clients() {
    let authority = Authority::new("ca");
    let (server, trusting) = mutual(&authority);
    let (running, address) = serve_tcp(&server.acceptor().unwrap()).await;
    let for_servers = authority.issue_with(&["spiffe://acme/ann"], |params| {
        params.insert_extended_key_usage(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    });
    who(trusting.credentials(for_servers.credentials()), address).await.unwrap_err();
    running.says("certificate does not allow extended key usage").await;
}

#[tokio::test]
async fn revoked_certificates_are_refused_on_both_sides() {
    let authority = Authority::new("ca");
    let numbered = |serial: u8| {
        authority.issue_with(&["spiffe://acme/ann", "localhost"], |params| {
            params.serial_number = Some(SerialNumber::from(vec![serial]));
        })
    };
    let revoked = RevokedCertParams {
        serial_number: SerialNumber::from(vec![7]),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(4000, 1, 1),
        crl_number: SerialNumber::from(vec![1]),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = Pem::text(list.signed_by(&authority.0).unwrap().pem().unwrap());
    for (serial, good) in [(7, false), (8, true)] {
        let (server, trusting) = mutual(&authority);
        let server = server.revoked(list.clone());
        let (running, address) = serve_tcp(&server.acceptor().unwrap()).await;
        let tls = trusting.clone().credentials(numbered(serial).credentials());
        assert_eq!(who(tls, address).await.is_ok(), good);
        if !good {
            running.says("Revoked").await;
        }

        let server = ServerTls::new(numbered(serial).credentials());
        let (_running, address) = serve_tcp(&server.acceptor().unwrap()).await;
        let answer = who(trusting.revoked(list.clone()), address).await;
        assert_eq!(answer.is_ok(), good, "{answer:?}");
    }
}
