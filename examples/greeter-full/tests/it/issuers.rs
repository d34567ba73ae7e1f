//! Tokens of real issuers, whose keys rotate and who go away.

use crate::{
    access::POLICY,
    world::{Process, client, curl, foreign, free_port, front, greeter, json, soak, until_within},
};
use serde_json::{Value, json};
use std::{fs, time::Duration};

/// For whom the tokens are.
const AUDIENCE: &str = "urn:api";

/// An issuer that knows a client `svc` with the secret `secret`.
struct Issuer {
    _process: Process,
    kind: Kind,
    url: String,
}

enum Kind {
    /// The certified OpenID Connect provider.
    Provider,
    Keycloak {
        base: String,
    },
}

impl Issuer {
    fn provider() -> Self {
        let process =
            Process::start_with(&foreign("PURLIN_OIDC_PROVIDER"), 1, [""; 0], [("TTL", "600")]);
        let url = process.said[0].strip_prefix("listening ").unwrap().to_owned();
        Self { _process: process, kind: Kind::Provider, url }
    }

    fn keycloak() -> Self {
        let base = format!("http://127.0.0.1:{}", free_port());
        let port = base.rsplit(':').next().unwrap();
        let arguments = [
            "start-dev".to_owned(),
            "--http-host=127.0.0.1".to_owned(),
            format!("--http-port={port}"),
            format!("--http-management-port={}", free_port()),
            format!("--hostname={base}"),
            "--cache=local".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        let environment = [
            ("KC_BOOTSTRAP_ADMIN_USERNAME", "admin"),
            ("KC_BOOTSTRAP_ADMIN_PASSWORD", "admin"),
            ("JAVA_OPTS_KC_HEAP", "-Xms128m -Xmx512m"),
        ];
        let process = Process::start_with(&foreign("PURLIN_KEYCLOAK"), 0, arguments, environment);
        let (url, kind) = (format!("{base}/realms/it"), Kind::Keycloak { base: base.clone() });
        let issuer = Self { _process: process, kind, url };
        // It builds itself first.
        until_within(Duration::from_secs(600), "Keycloak is there", || {
            json(&format!("{base}/realms/master/.well-known/openid-configuration"))
        });
        issuer
            .administer("", &json!({ "realm": "it", "enabled": true, "accessTokenLifespan": 600 }));
        let audience = json!({
            "name": "audience", "protocol": "openid-connect",
            "protocolMapper": "oidc-audience-mapper",
            "config": { "included.custom.audience": AUDIENCE, "access.token.claim": "true" },
        });
        let client = json!({
            "clientId": "svc", "secret": "secret", "publicClient": false,
            "serviceAccountsEnabled": true, "standardFlowEnabled": false,
            "protocolMappers": [audience],
        });
        issuer.administer("/it/clients", &client);
        issuer
    }

    fn token(&self) -> String {
        let (path, form) = match self.kind {
            Kind::Provider => ("token", "grant_type=client_credentials&scope=read"),
            Kind::Keycloak { .. } => {
                ("protocol/openid-connect/token", "grant_type=client_credentials")
            }
        };
        granted(&["--user", "svc:secret", "--data", form, &format!("{}/{path}", self.url)])
    }

    /// Signs with a key that nobody has seen, from now on. Those before it stay published.
    fn rotate(&self, round: u32) {
        let Kind::Keycloak { .. } = self.kind else {
            let (status, _) = curl(&["--request", "POST", &format!("{}/test/rotate", self.url)]);
            return assert_eq!(status, 200);
        };
        let key = json!({
            "name": format!("round {round}"), "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": { "priority": [(1000 + round).to_string()], "algorithm": ["RS256"] },
        });
        self.administer("/it/components", &key);
    }

    /// Creates something below Keycloak's realms.
    fn administer(&self, path: &str, what: &Value) {
        let Kind::Keycloak { base } = &self.kind else { panic!("only Keycloak is administered") };
        let url = format!("{base}/realms/master/protocol/openid-connect/token");
        let form = "grant_type=password&client_id=admin-cli&username=admin&password=admin";
        let bearer = format!("authorization: Bearer {}", granted(&["--data", form, &url]));
        let (body, url) = (what.to_string(), format!("{base}/admin/realms{path}"));
        let json = "content-type: application/json";
        let (status, said) = curl(&["--header", &bearer, "--header", json, "--data", &body, &url]);
        assert_eq!(status, 201, "{url}: {said}");
    }
}

/// The token in the answer to a request.
fn granted(request: &[&str]) -> String {
    let (status, said) = curl(request);
    assert_eq!(status, 200, "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    said["access_token"].as_str().unwrap().to_owned()
}

/// A front that lets in whoever has a token of this issuer, and the flags of its client for one.
fn guarded(issuer: &Issuer, greeter: &Process) -> (Process, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.json");
    // For Keycloak, a client's name is its number.
    fs::write(&policy, POLICY.replace("jwt:svc", "jwt:*")).unwrap();
    let auth = format!("jwt:{}", issuer.url);
    let policy = policy.to_str().unwrap();
    let flags = ["--auth", &auth, "--audience", AUDIENCE, "--policy", policy];
    (front(greeter, &flags), folder)
}

/// What the page shows of who is let in.
fn verifier(front: &Process) -> Value {
    let state = json(&format!("http://{}/state.json", front.address("debug"))).unwrap();
    let layers = state["methods"][0]["layers"].as_array().unwrap();
    let shown = layers.iter().find(|it| it["name"] == "jwt");
    shown.unwrap_or_else(|| panic!("{state}"))["state"].clone()
}

#[test]
fn foreign_keys_of_real_issuers_rotate_and_they_go_away_without_a_refused_token() {
    // The other one takes its time to start.
    let issuers: &[fn() -> Issuer] =
        if soak() { &[Issuer::provider, Issuer::keycloak] } else { &[Issuer::provider] };
    for issuer in issuers {
        let issuer = issuer();
        let greeter = greeter();
        let (front, _folder) = guarded(&issuer, &greeter);
        let (http, grpc) = (front.address("HTTP"), front.address("gRPC"));
        let ask = |token: &str| {
            let header = format!("authorization: Bearer {token}");
            curl(&["--header", &header, &format!("http://{http}/greeting?name=Ann")]).0
        };
        let ask_grpc = |token: &str| {
            let (ok, said, log) =
                client(&["--transport", "grpc", "--addr", &grpc, "--token", token]);
            assert!(ok && said == "Hello, Ann!\n", "{log}");
        };
        assert_eq!(ask("garbage"), 401);
        let mut tokens = vec![issuer.token()];
        for round in 1..=3 {
            assert_eq!(ask(tokens.last().unwrap()), 200);
            issuer.rotate(round);
            // The first call with it has the key fetched, and those before it count as well.
            tokens.push(issuer.token());
            for token in tokens.iter().rev() {
                assert_eq!(ask(token), 200, "{} in round {round}", issuer.url);
            }
            ask_grpc(tokens.last().unwrap());
        }
        let state = verifier(&front);
        assert_eq!(state["refused"], 1, "{state}");
        let keys = state["verifier"]["keys"].as_array().unwrap().len();
        assert!(keys >= 4 && state["accepted"].as_u64() >= Some(15), "{state}");

        let last = tokens.pop().unwrap();
        drop(issuer);
        for _ in 0..5 {
            assert_eq!(ask(&last), 200);
        }
        ask_grpc(&last);
    }
}

#[test]
fn foreign_a_client_has_its_own_token_from_the_issuer() {
    let issuer = Issuer::provider();
    let greeter = greeter();
    let (front, folder) = guarded(&issuer, &greeter);
    let secret = folder.path().join("secret");
    fs::write(&secret, "secret\n").unwrap();
    let ask = |transport: &str| {
        let address = front.address(if transport == "http" { "HTTP" } else { "gRPC" });
        let flags = ["--transport", transport, "--addr", &address, "--issuer", &issuer.url];
        let secret = secret.to_str().unwrap();
        let more = ["--client-id", "svc", "--client-secret-file", secret, "--scope", "read"];
        client(&[&flags[..], &more[..]].concat())
    };
    for transport in ["http", "grpc"] {
        let (ok, said, log) = ask(transport);
        assert!(ok && said == "Hello, Ann!\n", "{transport}: {log}");
    }
    fs::write(&secret, "guessed").unwrap();
    let (ok, _, log) = ask("http");
    assert!(!ok && log.contains("invalid_client") && !log.contains("guessed"), "{log}");
    let address = front.address("HTTP");
    let (ok, _, log) = client(&["--addr", &address, "--issuer", &issuer.url]);
    assert!(!ok && log.contains("--client-secret-file"), "{log}");
}
