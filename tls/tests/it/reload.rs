use crate::world::*;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use purlin_endpoint::Inspect as _;
use purlin_tls::{ClientTls, Credentials, Pem, ServerTls};
use rcgen::SerialNumber;
use std::{
    convert::Infallible,
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// For this machine, with a number by which it is known again.
fn numbered(authority: &Authority, number: u8) -> Issued {
    authority.issue_with(&["localhost"], |params| {
        params.serial_number = Some(SerialNumber::from(vec![number]));
    })
}

#[tokio::test]
async fn new_handshakes_see_new_files_within_a_second() {
    let authority = Authority::new("ca");
    let (folder, credentials) = in_folder(&numbered(&authority, 1));
    let acceptor = ServerTls::new(credentials).acceptor().unwrap();
    let handle = acceptor.handle();
    let (_running, address) = serve_tcp(&acceptor).await;
    let connector = ClientTls::new().ca(authority.pem()).connector().unwrap();
    assert_eq!(get(&client(&connector), uri(address, "/")).await.unwrap(), "hello");

    numbered(&authority, 2).put(folder.path());
    let begun = Instant::now();
    wait_for("reload", || handle.state().certificates[0].serial == "02").await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(handle.state().generation, 1);

    // Another authority altogether: that client trusts it no more.
    Authority::new("other").server().put(folder.path());
    wait_for("reload", || handle.state().generation == 2).await;
    let error = get(&client(&connector), uri(address, "/")).await.unwrap_err();
    assert!(error.contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn files_that_are_wrong_change_nothing_and_that_is_said() {
    let authority = Authority::new("ca");
    let (folder, credentials) = in_folder(&numbered(&authority, 1));
    let said = Arc::new(Mutex::new(Vec::new()));
    let saying = said.clone();
    let acceptor = ServerTls::new(credentials)
        .interval(Duration::from_millis(20))
        .acceptor()
        .unwrap()
        .on_reload(move |outcome| {
            saying.lock().unwrap().push(match outcome {
                Ok(state) => state.certificates[0].serial.clone(),
                Err(error) => error.to_string(),
            });
        });
    let handle = acceptor.handle();
    let (_running, address) = serve_tcp(&acceptor).await;
    let connector = ClientTls::new().ca(authority.pem()).connector().unwrap();

    let next = numbered(&authority, 2);
    let expired = authority.issue_with(&["localhost"], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let early = authority.issue_with(&["localhost"], |params| {
        params.not_before = rcgen::date_time_ymd(4000, 1, 1);
    });
    let half = &next.certificate[..next.certificate.len() / 2];
    let key = &next.key;
    for (certificate, key, why) in [
        (next.certificate.as_str(), None, "is not that of the certificate"),
        (half, Some(key), "is not PEM"),
        ("", Some(key), "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", Some(key), "of no use"),
        (&next.certificate, Some(&next.certificate), "holds no key"),
        (&expired.certificate, Some(&expired.key), "has expired"),
        (&early.certificate, Some(&early.key), "is not valid yet"),
    ] {
        fs::write(folder.path().join("cert.pem"), certificate).unwrap();
        if let Some(key) = key {
            fs::write(folder.path().join("key.pem"), key).unwrap();
        }
        wait_for(why, || said.lock().unwrap().last().is_some_and(|said| said.contains(why))).await;
        let state = handle.state();
        assert_eq!(state.certificates[0].serial, "01");
        assert!(state.failure.unwrap().why.contains(why));
        assert_eq!(get(&client(&connector), uri(address, "/")).await.unwrap(), "hello");
    }
    fs::remove_file(folder.path().join("cert.pem")).unwrap();
    wait_for("missing file", || {
        said.lock().unwrap().last().is_some_and(|said| said.contains("can't be read"))
    })
    .await;
    next.put(folder.path());
    wait_for("reload", || said.lock().unwrap().last().is_some_and(|said| said == "02")).await;
    assert_eq!(handle.state().failure, None);
    // Each trouble was told once, though it was met over and over.
    let mut said = said.lock().unwrap().clone();
    let all = said.len();
    said.dedup();
    assert_eq!(said.len(), all, "{said:?}");
}

#[tokio::test]
async fn a_handle_reloads_at_once_and_shows_what_is_in_use() {
    let authority = Authority::new("ca");
    let (folder, credentials) = in_folder(&numbered(&authority, 1));
    let acceptor = ServerTls::new(credentials).interval(Duration::MAX).acceptor().unwrap();
    let handle = acceptor.handle();
    assert!(!handle.reload().unwrap());
    numbered(&authority, 2).put(folder.path());
    assert!(handle.reload().unwrap());
    fs::write(folder.path().join("cert.pem"), "\"nothing\"").unwrap();
    let error = handle.reload().unwrap_err().to_string();
    assert!(error.ends_with("cert.pem holds no certificate"), "{error}");

    let shown: serde_json::Value = serde_json::from_str(&handle.snapshot()).unwrap();
    assert_eq!(handle.name(), "tls server");
    assert_eq!(shown["generation"], 1);
    assert_eq!(shown["certificates"][0]["serial"], "02");
    assert_eq!(shown["certificates"][0]["names"][0], "localhost");
    assert!(shown["certificates"][0]["not_after"].as_u64().unwrap() > 4_000_000_000);
    assert_eq!(shown["failure"]["why"], error);
    assert!(shown["failure"]["since"].as_u64().unwrap() >= shown["since"].as_u64().unwrap());
    // What was right before is right again.
    numbered(&authority, 3).put(folder.path());
    assert!(handle.reload().unwrap());
    assert_eq!(handle.state().failure, None);
}

#[tokio::test]
async fn a_client_with_a_new_certificate_makes_new_connections_and_ends_its_calls_on_the_old() {
    let authority = Authority::new("ca");
    for alpn in ["h2", "http/1.1"] {
        let (server, trusting) = pair(&authority);
        let (running, address) =
            serve_tcp(&server.client_ca(authority.pem()).acceptor().unwrap()).await;
        let (folder, credentials) = in_folder(&authority.issue(&["spiffe://acme/old"]));
        let tls = trusting.alpn([alpn]).credentials(credentials).interval(Duration::MAX);
        let connector = tls.connector().unwrap();
        let client = client(&connector);
        for _ in 0..2 {
            assert_eq!(get(&client, uri(address, "/identity")).await.unwrap(), "spiffe://acme/old");
        }
        assert_eq!(running.handle.accepted(), 1);

        // A call that goes on until its request ends.
        let (send, receive) = tokio::sync::oneshot::channel::<()>();
        let sent = StreamBody::new(Once(receive));
        let mut request = Request::new(sent);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri(address, "/until");
        let mut response = client.send(request).await.unwrap();
        let begun = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(begun, "begun ");

        authority.issue(&["spiffe://acme/new"]).put(folder.path());
        assert!(connector.handle().reload().unwrap());
        for _ in 0..2 {
            assert_eq!(get(&client, uri(address, "/identity")).await.unwrap(), "spiffe://acme/new");
        }
        assert_eq!((running.handle.accepted(), running.handle.connections()), (2, 2), "{alpn}");

        send.send(()).unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ended");
        wait_for("end of the old connection", || running.handle.connections() == 1).await;
    }
}

/// Ends when it is told to.
struct Once(tokio::sync::oneshot::Receiver<()>);

impl futures_core::Stream for Once {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(|_| None)
    }
}

#[tokio::test]
async fn a_client_watches_whom_it_trusts() {
    let authority = Authority::new("ca");
    let (server, _) = pair(&authority);
    let (_running, address) = serve_tcp(&server.acceptor().unwrap()).await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    put(&ca, &authority.0.pem());
    let connector = ClientTls::new()
        .ca(Pem::file(&ca))
        .interval(Duration::from_millis(20))
        .connector()
        .unwrap();
    let client = client(&connector);
    assert_eq!(get(&client, uri(address, "/")).await.unwrap(), "hello");
    put(&ca, &Authority::new("other").0.pem());
    wait_for("reload", || connector.handle().state().generation == 1).await;
    let error = get(&client, uri(address, "/")).await.unwrap_err();
    assert!(error.contains("UnknownIssuer"), "{error}");
    put(&ca, &authority.0.pem());
    wait_for("reload", || connector.handle().state().generation == 2).await;
    assert_eq!(get(&client, uri(address, "/")).await.unwrap(), "hello");
}

#[test]
fn what_is_wrong_at_the_start_is_an_error() {
    let authority = Authority::new("ca");
    let missing = Credentials::files("/nowhere/cert.pem", "/nowhere/key.pem");
    let error = ServerTls::new(missing).acceptor().unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/cert.pem can't be read: "), "{error}");
    let (one, other) = (authority.server(), authority.server());
    let mixed = Credentials::new(Pem::text(one.certificate), Pem::text(other.key));
    let error = ClientTls::new().ca(authority.pem()).credentials(mixed).connector().unwrap_err();
    let said = "the key in a given text is not that of the certificate in a given text";
    assert_eq!(error.to_string(), said);
}

#[tokio::test]
async fn clients_show_their_certificates_again_when_a_server_trusts_others() {
    for alpn in ["h2", "http/1.1"] {
        let (authority, other) = (Authority::new("ca"), Authority::new("other"));
        let (folder, credentials) = in_folder(&numbered(&authority, 1));
        let ca = folder.path().join("ca.pem");
        put(&ca, &authority.0.pem());
        let acceptor = ServerTls::new(credentials)
            .client_ca(Pem::file(&ca))
            .interval(Duration::MAX)
            .acceptor()
            .unwrap();
        let handle = acceptor.handle();
        let (running, address) = serve_tcp(&acceptor).await;
        let trusting = |authority: &Authority, by: &Authority| {
            let shown = by.issue(&["spiffe://acme/ann"]).credentials();
            let tls = ClientTls::new().ca(authority.pem()).alpn([alpn]).credentials(shown);
            client(&tls.connector().unwrap())
        };
        let client = trusting(&authority, &authority);
        for _ in 0..2 {
            assert_eq!(get(&client, uri(address, "/identity")).await.unwrap(), "spiffe://acme/ann");
            // Its own certificate is nothing that a client was judged by.
            numbered(&authority, 2).put(folder.path());
            handle.reload().unwrap();
        }
        assert_eq!((running.handle.accepted(), handle.state().generation), (1, 2), "{alpn}");

        let (send, receive) = tokio::sync::oneshot::channel::<()>();
        let mut request = Request::new(StreamBody::new(Once(receive)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri(address, "/until");
        let mut response = client.send(request).await.unwrap();
        let begun = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(begun, "begun ");

        put(&ca, &other.0.pem());
        assert!(handle.reload().unwrap());
        let refused = async {
            // The old connection may still take what comes before it has heard.
            while get(&client, uri(address, "/identity")).await.is_ok() {}
        };
        tokio::time::timeout(Duration::from_secs(10), refused).await.unwrap();
        // What it was let in for goes on to its end, and then it has nothing left.
        send.send(()).unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ended");
        wait_for("end of the old connection", || running.handle.connections() == 0).await;
        let new = trusting(&authority, &other);
        assert_eq!(get(&new, uri(address, "/identity")).await.unwrap(), "spiffe://acme/ann");
    }
}
