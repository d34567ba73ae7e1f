//! One handler, one layer stack, four faces, called by clients that are not ours.

use crate::process::{Greeter, output};
use serde_json::{Value, json};
use std::{env, process::Command};

/// A program that the test command installs.
fn tool(variable: &str) -> Command {
    let path = env::var(variable).unwrap_or_else(|_| panic!("`cargo xtask test` sets {variable}"));
    Command::new(path)
}

fn curl(arguments: &[&str]) -> String {
    let (ok, out, said) = output(
        tool("PURLIN_CURL").args(["--silent", "--show-error", "--max-time", "10"]).args(arguments),
    );
    assert!(ok, "{said}");
    out
}

fn grpcurl(greeter: &Greeter, arguments: &[&str], method: &str) -> (bool, String, String) {
    let address = greeter.grpc.to_string();
    output(
        tool("PURLIN_GRPCURL")
            .args(["-plaintext", "-max-time", "10"])
            .args(arguments)
            .args([&address, method]),
    )
}

/// The status and the body, as JSON.
fn status_and_json(greeter: &Greeter, arguments: &[&str], path: &str) -> (String, Value) {
    let url = format!("http://{}{path}", greeter.http);
    let out = curl(
        &[&["--write-out", "\n%{http_version} %{http_code} %{content_type}", &url], arguments]
            .concat(),
    );
    let (body, status) = out.rsplit_once('\n').unwrap();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
    (status.to_owned(), body)
}

#[test]
fn curl_is_greeted_over_both_versions_of_http() {
    let greeter = Greeter::start(&[]);
    let greeting = json!({ "greeting": "Hello, Ann!" });
    for (arguments, version) in [(&["--http1.1"], "1.1"), (&["--http2-prior-knowledge"], "2")] {
        let told = status_and_json(&greeter, arguments, "/greeting?name=Ann");
        assert_eq!(told, (format!("{version} 200 application/json"), greeting.clone()));
        let told = status_and_json(&greeter, arguments, "/health");
        assert_eq!(told, (format!("{version} 200 application/json"), json!({ "healthy": true })));
    }
    let lines = greeter.stop();
    assert_eq!(lines.matches("method=greeter.Greeter/Greeting code=OK").count(), 2, "{lines}");
}

#[test]
fn grpcurl_is_greeted_by_unary_and_by_streaming_calls() {
    let greeter = Greeter::start(&[]);
    let told = grpcurl(&greeter, &["-d", r#"{"name":"Ann"}"#], "greeter.Greeter/Greeting");
    assert_eq!(
        serde_json::from_str::<Value>(&told.1).unwrap(),
        json!({ "greeting": "Hello, Ann!" })
    );

    let many = r#"{"names":["Ann","Bo"],"languages":["en","it"]}"#;
    let (ok, out, said) = grpcurl(&greeter, &["-d", many], "greeter.Greeter/GreetMany");
    assert!(ok, "{said}");
    let told: Vec<Value> =
        serde_json::Deserializer::from_str(&out).into_iter().map(Result::unwrap).collect();
    let expected = ["Hello, Ann!", "Ciao, Ann!", "Hello, Bo!", "Ciao, Bo!"];
    assert_eq!(told, expected.map(|greeting| json!({ "greeting": greeting })));

    let lines = greeter.stop();
    assert_eq!(lines.matches("method=greeter.Greeter/Greeting code=OK").count(), 1, "{lines}");
    assert_eq!(lines.matches("method=greeter.Greeter/GreetMany code=OK").count(), 1, "{lines}");
}

#[test]
fn grpcurl_sees_health_and_all_services() {
    let greeter = Greeter::start(&[]);
    let (_, services, said) = grpcurl(&greeter, &[], "list");
    for service in
        ["greeter.Greeter", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]
    {
        assert!(services.lines().any(|line| line == service), "{services}{said}");
    }
    for service in ["{}", r#"{"service":"greeter.Greeter"}"#] {
        let (_, health, said) = grpcurl(&greeter, &["-d", service], "grpc.health.v1.Health/Check");
        assert_eq!(
            serde_json::from_str::<Value>(&health).expect(&said),
            json!({ "status": "SERVING" })
        );
    }
    let live = curl(&[&format!("http://{}/livez", greeter.debug)]);
    assert_eq!(live.trim(), "live");
    let ready = curl(&[&format!("http://{}/readyz", greeter.debug)]);
    assert_eq!(ready.trim(), "ready");
}

#[test]
fn a_bad_name_has_the_same_text_on_http_and_grpc() {
    let greeter = Greeter::start(&[]);
    let long = "x".repeat(257);
    for (name, why) in [
        ("", "is missing"),
        ("A%0AB", "contains a control character"),
        (&*long, "is longer than 256 characters"),
    ] {
        let text = format!("name {why}");
        let (status, problem) = status_and_json(&greeter, &[], &format!("/greeting?name={name}"));
        assert_eq!(status, "1.1 400 application/problem+json");
        assert_eq!(
            (&problem["detail"], &problem["code"]),
            (&json!(text), &json!("INVALID_ARGUMENT"))
        );
        assert_eq!(problem["violations"], json!([{ "field": "name", "description": why }]));

        let message = json!({ "name": name.replace("%0A", "\n") }).to_string();
        let (ok, _, said) = grpcurl(&greeter, &["-d", &message], "greeter.Greeter/Greeting");
        assert!(!ok);
        assert!(said.contains("Code: InvalidArgument"), "{said}");
        assert!(said.contains(&format!("Message: {text}\n")), "{said}");
    }
}

#[test]
fn what_a_route_does_not_take_is_named() {
    let greeter = Greeter::start(&[]);
    for (arguments, path, detail) in [
        (&[][..], "/greeting", "name is missing"),
        (&[], "/greeting?name=Ann&name=Bo", "name is given more than once"),
        (&[], "/greeting?name=Ann&nickname=A", "nickname is not known"),
        (
            &["--request", "GET", "--data", "{}"],
            "/greeting?name=Ann",
            "body is not taken by this route",
        ),
        (&["--request", "GET", "--data", "{}"], "/health", "body is not taken by this route"),
    ] {
        let (status, problem) = status_and_json(&greeter, arguments, path);
        assert_eq!(status, "1.1 400 application/problem+json", "{problem}");
        assert_eq!(problem["detail"], json!(detail));
    }
    assert!(status_and_json(&greeter, &[], "/nowhere").0.starts_with("1.1 404"));
    assert!(
        status_and_json(&greeter, &["--request", "POST"], "/greeting").0.starts_with("1.1 405")
    );
    let head = curl(&["--head", &format!("http://{}/greeting?name=Ann", greeter.http)]);
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-length: 26"), "{head}");
    let options =
        curl(&["--include", "--request", "OPTIONS", &format!("http://{}/greeting", greeter.http)]);
    assert!(options.contains("allow: GET, HEAD, OPTIONS"), "{options}");
    let lines = greeter.stop();
    // Five that could not be decoded, and HEAD: each call to a method has its line.
    assert_eq!(lines.matches("msg=call").count(), 6, "{lines}");
}
