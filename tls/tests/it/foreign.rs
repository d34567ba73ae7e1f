//! curl and openssl, on either side.

use crate::world::*;
use purlin_tls::{ClientTls, ServerTls};
use std::{
    env,
    net::SocketAddr,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

fn tool(variable: &str) -> Command {
    let path = env::var_os(variable);
    let path = path.unwrap_or_else(|| panic!("{variable} is not set: `cargo xtask test` sets it"));
    let mut command = Command::new(path);
    command.kill_on_drop(true);
    command
}

async fn output(mut command: Command) -> Output {
    command.stdin(Stdio::null());
    let output = timeout(Duration::from_secs(20), command.output()).await;
    output.expect("it has not ended").unwrap()
}

/// An authority whose certificates are in a folder: `ca.pem`, `cert.pem` and `key.pem`.
fn prepared(names: &[&str]) -> (Authority, tempfile::TempDir) {
    let authority = Authority::new("ca");
    let (folder, _) = in_folder(&authority.issue(names));
    put(&folder.path().join("ca.pem"), &authority.0.pem());
    (authority, folder)
}

fn curl(folder: &Path, address: SocketAddr, arguments: &[&str]) -> Command {
    let mut curl = tool("PURLIN_CURL");
    curl.current_dir(folder).args(["--silent", "--show-error", "--max-time", "10"]).args(arguments);
    curl.arg(uri(address, "/identity").to_string());
    curl
}

#[tokio::test]
async fn curl_is_known_by_its_certificate() {
    let (authority, folder) = prepared(&["spiffe://acme/curl"]);
    let server = ServerTls::new(authority.server().credentials()).client_ca(authority.pem());
    let (running, address) = serve_tcp(&server.acceptor().unwrap()).await;
    let own = ["--cacert", "ca.pem", "--cert", "cert.pem", "--key", "key.pem"];
    for version in ["--http1.1", "--http2"] {
        for tls in ["--tls-max=1.2", "--tlsv1.3"] {
            let tls: Vec<&str> = tls.split('=').collect();
            let curl = curl(folder.path(), address, &[&own[..], &[version], &tls].concat());
            let output = output(curl).await;
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(String::from_utf8_lossy(&output.stdout), "spiffe://acme/curl", "{said}");
        }
    }
    let unnamed = output(curl(folder.path(), address, &["--cacert", "ca.pem"])).await;
    assert!(!unnamed.status.success() && unnamed.stdout.is_empty());
    running.says("peer sent no certificates").await;
    let mistrusting = output(curl(folder.path(), address, &[])).await;
    // 60: the peer's certificate can't be checked.
    assert_eq!(mistrusting.status.code(), Some(60));
}

#[tokio::test]
async fn openssl_checks_our_handshake() {
    let (authority, folder) = prepared(&["spiffe://acme/openssl"]);
    let server = ServerTls::new(authority.server().credentials()).client_ca(authority.pem());
    let (_running, address) = serve_tcp(&server.acceptor().unwrap()).await;
    for (version, alpn) in [("-tls1_2", "h2"), ("-tls1_3", "http/1.1")] {
        let mut openssl = tool("PURLIN_OPENSSL");
        openssl.current_dir(folder.path()).args(["s_client", version, "-alpn", alpn]);
        openssl.args(["-CAfile", "ca.pem", "-cert", "cert.pem", "-key", "key.pem"]);
        openssl.args(["-verify_return_error", "-verify_hostname", "localhost"]);
        openssl.args(["-servername", "localhost", "-connect", &address.to_string()]);
        let output = output(openssl).await;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
        assert!(said.contains(&format!("ALPN protocol: {alpn}")), "{said}");
    }
}

/// openssl's own server, which asks for certificates and shows what came of the handshake.
async fn s_server(folder: &Path, version: &str) -> (Child, SocketAddr) {
    let mut openssl = tool("PURLIN_OPENSSL");
    openssl.current_dir(folder).args(["s_server", "-accept", "127.0.0.1:0", "-www", version]);
    openssl.args(["-cert", "cert.pem", "-key", "key.pem", "-CAfile", "ca.pem"]);
    openssl.args(["-Verify", "1", "-verify_return_error", "-alpn", "http/1.1"]);
    openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = openssl.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it says where it is");
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                return address.parse().unwrap();
            }
        }
    };
    let address = timeout(Duration::from_secs(10), address).await.expect("it says where it is");
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, address)
}

#[tokio::test]
async fn our_client_is_taken_by_openssl() {
    let (authority, folder) = prepared(&["localhost"]);
    let own = authority.issue(&["spiffe://acme/ours"]).credentials();
    for (flag, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let (mut child, address) = s_server(folder.path(), flag).await;
        let tls = ClientTls::new().ca(authority.pem()).credentials(own.clone());
        let answer = get(&client(&tls.connector().unwrap()), uri(address, "/")).await.unwrap();
        assert!(answer.contains(&format!("Protocol  : {version}")), "{answer}");
        let unnamed = ClientTls::new().ca(authority.pem()).connector().unwrap();
        get(&client(&unnamed), uri(address, "/")).await.unwrap_err();
        child.kill().await.unwrap();
    }
}
