use crate::world::*;
use purlin_http_client::{HttpClient, Unix, connect_fn};
use purlin_serve::{Server, UnixAccept, memory};
use purlin_tls::{ClientTls, ServerTls};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::TLS12,
};
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

#[tokio::test]
async fn http1_and_http2_are_spoken_over_tcp_unix_and_memory() {
    let (server, trusting) = pair(&Authority::new("ca"));
    let acceptor = server.acceptor().unwrap();
    for (alpn, version) in [("http/1.1", "HTTP/1.1"), ("h2", "HTTP/2.0")] {
        let connector = trusting.clone().alpn([alpn]).connector().unwrap();

        let (_tcp, address) = serve_tcp(&acceptor).await;
        let answer = get(&client(&connector), uri(address, "/version")).await;
        assert_eq!(answer.unwrap(), version);
        let by_address = format!("https://{address}/version").parse().unwrap();
        assert_eq!(get(&client(&connector), by_address).await.unwrap(), version);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _unix = serve(Server::new(), acceptor.accept(UnixAccept::bind(&path).unwrap()));
        let over_unix = client_over(&connector, Unix::new(&path));
        let answer = get(&over_unix, uri(address, "/version")).await;
        assert_eq!(answer.unwrap(), version);

        let (listener, dial) = memory();
        let _memory = serve(Server::new(), acceptor.accept(listener));
        let over_memory = connect_fn(move |_| {
            let dial = dial.clone();
            async move { dial.connect().await }
        });
        let answer = get(&client_over(&connector, over_memory), uri(address, "/version")).await;
        assert_eq!(answer.unwrap(), version);
    }
}

#[tokio::test]
async fn the_server_prefers_http2() {
    let (server, trusting) = pair(&Authority::new("ca"));
    let (_running, address) = serve_tcp(&server.acceptor().unwrap()).await;
    let client = client(&trusting.connector().unwrap());
    assert_eq!(get(&client, uri(address, "/version")).await.unwrap(), "HTTP/2.0");
}

#[tokio::test]
async fn without_a_common_protocol_there_is_no_connection() {
    let (server, trusting) = pair(&Authority::new("ca"));
    let (running, address) = serve_tcp(&server.alpn(["h2"]).acceptor().unwrap()).await;
    let client = client(&trusting.alpn(["http/1.1"]).connector().unwrap());
    let error = get(&client, uri(address, "/")).await.unwrap_err();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    running.says("the handshake with").await;
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_never_reached() {
    let authority = Authority::new("ca");
    let (server, trusting) = pair(&authority);
    let (_running, address) = serve_tcp(&server.acceptor().unwrap()).await;
    let refused = |tls: ClientTls, why: &'static str| async move {
        let client = client(&tls.connector().unwrap());
        let error = client.get_bytes(uri(address, "/"), 100).await.unwrap_err();
        assert!(error.is_connect(), "{error:?}");
        assert!(chain(&error).contains(why), "{}", chain(&error));
    };
    let stranger = Authority::new("stranger");
    refused(ClientTls::new().ca(stranger.pem()), "UnknownIssuer").await;
    let misnamed = trusting.clone().server_name("other.test");
    refused(misnamed, "not valid for name \"other.test\"").await;
    refused(trusting.clone().server_name("127.0.0.2"), "not valid for name").await;

    let named = client(&trusting.server_name("localhost").connector().unwrap());
    let elsewhere = format!("https://127.0.0.1:{}/", address.port()).parse().unwrap();
    assert_eq!(get(&named, elsewhere).await.unwrap(), "hello");
    let anybody = ClientTls::new().dangerous_accept_any_certificate().connector().unwrap();
    assert_eq!(get(&client(&anybody), uri(address, "/")).await.unwrap(), "hello");
}

/// A server by bare rustls, which asks nobody whether its certificate is valid.
async fn bare(issued: &Issued) -> std::net::SocketAddr {
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    address
}

#[tokio::test]
async fn an_expired_server_is_not_trusted() {
    let authority = Authority::new("ca");
    let late = authority.issue_with(&["localhost"], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let early = authority.issue_with(&["localhost"], |params| {
        params.not_before = rcgen::date_time_ymd(4000, 1, 1);
    });
    let client = client(&ClientTls::new().ca(authority.pem()).connector().unwrap());
    for (issued, why) in [(late, "expired"), (early, "not valid yet")] {
        let error = get(&client, uri(bare(&issued).await, "/")).await.unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn each_name_is_shown_its_own_certificate_and_others_the_first() {
    let authority = Authority::new("ca");
    let server = ServerTls::new(authority.issue(&["first.test"]).credentials())
        .credentials(authority.issue(&["second.test"]).credentials())
        .credentials(authority.issue(&["*.third.test"]).credentials());
    let (_running, address) = serve_tcp(&server.acceptor().unwrap()).await;
    for (asked, shown) in [
        ("first.test", Ok("hello")),
        ("second.test", Ok("hello")),
        ("a.third.test", Ok("hello")),
        ("third.test", Err("is only valid for DnsName(\"first.test\")")),
        ("other.test", Err("is only valid for DnsName(\"first.test\")")),
    ] {
        let tls = ClientTls::new().ca(authority.pem()).server_name(asked);
        let answer = get(&client(&tls.connector().unwrap()), uri(address, "/")).await;
        match shown {
            Ok(shown) => assert_eq!(answer.unwrap(), shown, "{asked}"),
            Err(why) => assert!(answer.as_ref().unwrap_err().contains(why), "{answer:?}"),
        }
    }
}

/// Connects by TLS 1.2.
async fn old(address: std::net::SocketAddr, authority: &Authority) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn tls_1_2_is_spoken_unless_it_is_refused() {
    let authority = Authority::new("ca");
    let (server, _) = pair(&authority);
    let (_running, address) = serve_tcp(&server.clone().acceptor().unwrap()).await;
    assert!(old(address, &authority).await.unwrap().ends_with("hello"));
    let (_running, address) = serve_tcp(&server.tls13_only().acceptor().unwrap()).await;
    let error = old(address, &authority).await.unwrap_err().to_string();
    assert!(error.contains("ProtocolVersion"), "{error}");
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_told_so() {
    let (server, trusting) = pair(&Authority::new("ca"));
    let (running, address) = serve_tcp(&server.acceptor().unwrap()).await;
    let plain = HttpClient::new();
    let answer = plain.get_bytes(format!("http://{address}/").parse().unwrap(), 100).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.body(), "This port speaks TLS: https://");
    running.says("the client speaks plain HTTP where TLS is spoken").await;

    let misspelt = format!("http://{address}/").parse().unwrap();
    let error = get(&client(&trusting.connector().unwrap()), misspelt).await.unwrap_err();
    assert!(error.contains("write `https`"), "{error}");
}

#[tokio::test]
async fn a_server_of_plain_http_is_said_not_to_speak_tls() {
    let (_, trusting) = pair(&Authority::new("ca"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _running = serve(Server::new(), listener);
    let error = get(&client(&trusting.connector().unwrap()), uri(address, "/")).await.unwrap_err();
    assert!(error.ends_with("the server does not speak TLS"), "{error}");
}

#[tokio::test]
async fn a_host_that_no_certificate_can_name_is_refused() {
    let (_, trusting) = pair(&Authority::new("ca"));
    let client = client(&trusting.connector().unwrap());
    let error = get(&client, "https://a..b/".parse().unwrap()).await.unwrap_err();
    assert!(error.contains("\"a..b\" is no name that a certificate could be for"), "{error}");
}
