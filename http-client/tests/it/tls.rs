use crate::world::*;
use http::Uri;
use purlin_http_client::HttpClient;
use rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use std::{net::SocketAddr, sync::Arc};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A server for `localhost` that speaks TLS, and a configuration that trusts it.
async fn secure(http2: bool) -> (SocketAddr, ClientConfig) {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = pair.cert.der().clone();
    let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(serve(stream, http2));
            }
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let trusting = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (address, trusting)
}

fn uri(host: &str, address: SocketAddr) -> Uri {
    format!("https://{host}:{}/version", address.port()).parse().unwrap()
}

#[tokio::test]
async fn the_protocol_is_the_one_that_the_handshake_chose() {
    for (http2, version) in [(false, "HTTP/1.1"), (true, "HTTP/2.0")] {
        let (address, trusting) = secure(http2).await;
        let client = HttpClient::new().tls(trusting);
        let response = client.get_bytes(uri("localhost", address), 10).await.unwrap();
        assert_eq!(response.body(), version);
    }
}

#[tokio::test]
async fn a_server_that_is_not_trusted_was_never_reached() {
    let (address, trusting) = secure(false).await;
    let stranger = HttpClient::new().get_bytes(uri("localhost", address), 10).await.unwrap_err();
    assert!(stranger.is_connect(), "{stranger:?}");
    let misnamed = HttpClient::new().tls(trusting);
    let misnamed = misnamed.get_bytes(uri("127.0.0.1", address), 10).await.unwrap_err();
    assert!(misnamed.is_connect(), "{misnamed:?}");
}

#[tokio::test]
async fn plain_http_is_spoken_as_before() {
    let server = serve_tcp(false).await;
    let response = HttpClient::new().get_bytes(server.uri("/version"), 10).await.unwrap();
    assert_eq!(response.body(), "HTTP/1.1");
}
