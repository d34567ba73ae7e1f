use crate::world::*;
use purlin_tls::{ClientTls, Credentials, Pem, ServerTls};
use std::time::Duration;

#[cfg(feature = "serde")]
#[test]
fn configurations_are_read_from_files() {
    let server: ServerTls = serde_json::from_str(
        r#"{
            "credentials": [{"certificate": {"file": "a.pem"}, "key": {"file": "a.key"}}],
            "client_ca": {"file": "ca.pem"},
            "client_optional": true,
            "alpn": ["h2"],
            "interval": "2s"
        }"#,
    )
    .unwrap();
    let wanted = ServerTls::new(Credentials::files("a.pem", "a.key"))
        .client_ca(Pem::file("ca.pem"))
        .client_optional()
        .alpn(["h2"])
        .interval(Duration::from_secs(2));
    assert_eq!(server, wanted);
    let client: ClientTls = serde_json::from_str(
        r#"{"ca": [{"file": "ca.pem"}], "server_name": "a.test", "tls13_only": true}"#,
    )
    .unwrap();
    let wanted = ClientTls::new().ca(Pem::file("ca.pem")).server_name("a.test").tls13_only();
    assert_eq!(client, wanted);
    let unknown = serde_json::from_str::<ClientTls>(r#"{"insecure": true}"#).unwrap_err();
    assert!(unknown.to_string().contains("unknown field `insecure`"), "{unknown}");
}

#[test]
fn a_configuration_that_contradicts_itself_is_refused() {
    let authority = Authority::new("ca");
    let (server, client) = pair(&authority);
    let said = |field: &str, error: purlin_tls::TlsError| {
        assert!(error.to_string().starts_with(field), "{error}");
    };
    said("credentials", ServerTls::default().acceptor().unwrap_err());
    said("interval", server.clone().interval(Duration::ZERO).acceptor().unwrap_err());
    said("handshake_limit", server.clone().handshake_limit(0).acceptor().unwrap_err());
    said("client_ca", server.clone().client_optional().acceptor().unwrap_err());
    said("client_ca", server.clone().revoked(authority.pem()).acceptor().unwrap_err());
    said("alpn", server.alpn([""]).acceptor().unwrap_err());
    said("ca", ClientTls::new().connector().unwrap_err());
    said("server_name", client.server_name("a b").connector().unwrap_err());
}

#[test]
fn a_given_key_is_never_shown() {
    let issued = Authority::new("ca").server();
    let server = ServerTls::new(issued.credentials());
    let shown = format!("{server:?} {:?}", server.clone().acceptor().unwrap());
    assert!(!shown.contains("PRIVATE") && !shown.contains("BEGIN"), "{shown}");
    assert!(format!("{:?}", Pem::file("a.pem")).contains("a.pem"));
}

#[cfg(feature = "webpki-roots")]
#[tokio::test]
async fn whom_the_web_trusts_is_not_who_we_are() {
    let (server, _) = pair(&Authority::new("ca"));
    let (_running, address) = serve_tcp(&server.acceptor().unwrap()).await;
    let web = client(&ClientTls::new().webpki_roots().connector().unwrap());
    let error = get(&web, uri(address, "/")).await.unwrap_err();
    assert!(error.contains("UnknownIssuer"), "{error}");
}
