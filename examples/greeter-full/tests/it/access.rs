//! Who calls, and may they: over TLS, with passwords, tokens and rules.

use crate::world::{client, curl, foreign, front, greeter, json, until};
use std::{fs, path::Path, process::Command};

pub(crate) const POLICY: &str = r#"{
    "roles": {"caller": {"allow": ["greeter.Greeter/Greeting"]}},
    "subjects": {"basic:ann": ["caller"], "jwt:svc": ["caller"]}
}"#;

#[test]
fn foreign_a_password_and_a_rule_let_a_caller_in_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (users, policy) = (folder.path().join("users"), folder.path().join("policy.json"));
    let hash = |password| purlin::auth::basic::Hashes::hash(password).unwrap();
    fs::write(&users, format!("ann:{}\nbob:{}\n", hash("swordfish"), hash("tuna"))).unwrap();
    fs::write(&policy, POLICY).unwrap();
    let greeter = greeter();
    let auth = format!("basic:{}", users.display());
    let front = front(&greeter, &["--auth", &auth, "--policy", policy.to_str().unwrap()]);
    let url = format!("http://{}/greeting?name=Ann", front.address("HTTP"));

    let (status, head) = curl(&["--include", &url]);
    assert_eq!(status, 401);
    assert!(
        head.contains("www-authenticate: Basic realm=\"greeter\", charset=\"UTF-8\""),
        "{head}"
    );
    assert_eq!(curl(&["--user", "ann:guess", &url]).0, 401);
    assert_eq!(
        curl(&["--user", "ann:swordfish", &url]),
        (200, r#"{"greeting":"Hello, Ann!"}"#.into())
    );
    let (status, said) = curl(&["--user", "bob:tuna", &url]);
    assert_eq!(status, 403);
    assert!(!said.contains("rule") && !said.contains("caller"), "{said}");
    until("the log says why", || {
        front.log().contains("no rule allows greeter.Greeter/Greeting").then_some(())
    });

    // Bob may, as soon as the file says so.
    fs::write(&policy, POLICY.replace("basic:ann", "basic:*")).unwrap();
    until("the new rules count", || (curl(&["--user", "bob:tuna", &url]).0 == 200).then_some(()));

    let grpc = front.address("gRPC");
    let (ok, _, log) = client(&["--transport", "grpc", "--addr", &grpc]);
    assert!(!ok && log.contains("authenticat"), "{log}");
    let (ok, said, log) =
        client(&["--transport", "grpc", "--addr", &grpc, "--user", "ann:swordfish"]);
    assert!(ok && said == "Hello, Ann!\n", "{log}");
}

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new(foreign("PURLIN_OPENSSL"));
    let output = command.args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, a server's certificate and a client's, made by openssl.
fn certificates(folder: &Path) {
    fs::write(folder.join("server.ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
    fs::write(folder.join("client.ext"), "subjectAltName=URI:spiffe://greeter/front-client\n")
        .unwrap();
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(folder, &format!("req -x509 {curve} -keyout ca.key -out ca.pem -days 2 -subj /CN=ca"));
    for name in ["server", "client"] {
        openssl(
            folder,
            &format!("req {curve} -keyout {name}.key -out {name}.csr -subj /CN={name}"),
        );
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.pem"
            ),
        );
    }
}

#[test]
fn foreign_a_certificate_says_who_calls() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let policy = file("policy.json");
    fs::write(&policy, POLICY.replace("basic:ann", "tls:spiffe://greeter/front-client")).unwrap();
    let greeter = greeter();
    let front = front(
        &greeter,
        &[
            "--tls-cert",
            &file("server.pem"),
            "--tls-key",
            &file("server.key"),
            "--tls-client-ca",
            &file("ca.pem"),
            "--policy",
            &policy,
        ],
    );
    let (http, grpc) = (front.address("HTTP"), front.address("gRPC"));
    let url = format!("https://{http}/greeting?name=Ann");
    let (ca, certificate, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    assert_eq!(curl(&["--cacert", &ca, &url]).0, 0, "without a certificate there is no connection");
    let with = ["--cacert", &ca, "--cert", &certificate, "--key", &key];
    let (status, said) = curl(&[&with[..], &[&url]].concat());
    assert_eq!((status, &*said), (200, r#"{"greeting":"Hello, Ann!"}"#));
    for (transport, address) in [("http", &http), ("grpc", &grpc)] {
        let (ok, said, log) = client(&[
            "--transport",
            transport,
            "--addr",
            address,
            "--tls-ca",
            &ca,
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
        ]);
        assert!(ok && said == "Hello, Ann!\n", "{transport}: {log}");
    }
    // The rules name the certificate's URI: without it the caller is nobody.
    fs::write(&policy, POLICY).unwrap();
    until("the new rules count", || (curl(&[&with[..], &[&url]].concat()).0 == 403).then_some(()));
    let state = json(&format!("http://{}/state.json", front.address("debug"))).unwrap();
    let shown =
        state["components"].as_array().unwrap().iter().find(|it| it["name"] == "tls server");
    let certificates = &shown.expect("the page shows the certificates")["state"]["certificates"];
    assert_eq!(certificates[0]["names"][0], "localhost", "{state}");
}
