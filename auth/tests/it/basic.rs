//! Users and passwords.

use crate::call;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue};
use purlin_auth::{
    AuthLayer, Authenticate as _, Credentials, Principal, Scheme, Unauthenticated,
    basic::{BadUser, Basic, Hashes, Refused, Users, Verifier},
    extract,
};
use purlin_endpoint::{BoxError, Challenge, Code, Context, Error, Inspect as _};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// Knows one user, and counts how often it is asked.
#[derive(Clone, Default)]
struct One(Arc<AtomicUsize>);

impl Users for One {
    async fn verify(&self, user: &str, password: &str) -> Result<Option<Principal>, BoxError> {
        self.0.fetch_add(1, Relaxed);
        match (user, password) {
            ("test-user", "test-pass") => Ok(Some(Principal::new(Scheme::Basic, user))),
            ("broken", _) => Err("the users' database is away".into()),
            _ => Ok(None),
        }
    }
}

fn layer() -> AuthLayer<Verifier<One>> {
    Basic::new("test realm").verifier(One::default()).unwrap().layer()
}

async fn shown(value: Option<&str>) -> Result<Context, Error> {
    let credentials = value.map(Credentials::new);
    let context = Context::new();
    call(&layer(), credentials.into_iter().fold(context, Context::with)).await
}

fn pair(text: impl AsRef<[u8]>) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

/// Refused with the challenge of the realm, and nothing about why.
fn is_challenged(outcome: Result<Context, Error>) -> bool {
    let error = outcome.expect_err("a refusal");
    let challenge = error.attached::<Challenge>().expect("a challenge");
    assert_eq!(challenge.0, r#"Basic realm="test realm", charset="UTF-8""#);
    assert_eq!(error.message(), Code::Unauthenticated.describe());
    assert!(error.find::<Refused>().is_some() && error.find::<Unauthenticated>().is_some());
    error.code() == Code::Unauthenticated
}

#[tokio::test]
async fn b_1_a_call_without_credentials_is_challenged() {
    assert!(is_challenged(shown(None).await));
}

#[tokio::test]
async fn b_2_what_is_no_header_is_challenged() {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_bytes(b"Basic \xff\xfe").unwrap());
    let context = extract(&headers, Context::new()).unwrap();
    assert!(is_challenged(call(&layer(), context).await));
}

#[tokio::test]
async fn b_3_an_empty_header_is_challenged() {
    assert!(is_challenged(shown(Some("")).await));
}

#[tokio::test]
async fn b_4_a_wrong_user_is_challenged() {
    assert!(is_challenged(shown(Some(&pair("wrong-user:test-pass"))).await));
}

#[tokio::test]
async fn b_5_a_wrong_password_is_challenged() {
    assert!(is_challenged(shown(Some(&pair("test-user:wrong-pass"))).await));
}

#[tokio::test]
async fn b_6_the_right_user_and_password_are_let_in() {
    let context = shown(Some(&pair("test-user:test-pass"))).await.unwrap();
    let principal = context.get::<Principal>().unwrap();
    assert_eq!((principal.name(), principal.scheme()), ("test-user", Scheme::Basic));
}

#[tokio::test]
async fn the_scheme_may_be_written_in_any_case() {
    for scheme in ["basic", "BASIC", "bAsIc"] {
        let value = pair("test-user:test-pass").replacen("Basic", scheme, 1);
        assert!(shown(Some(&value)).await.is_ok(), "{value}");
    }
}

#[tokio::test]
async fn a_password_may_hold_colons_and_any_letters_and_a_name_may_not() {
    let users = Hashes::new().password("zoë", "pä:ss:wörd").unwrap();
    let layer = Basic::new("a").verifier(users).unwrap().layer();
    let context = Context::new().with(Credentials::basic("zoë", "pä:ss:wörd"));
    assert!(call(&layer, context).await.is_ok());
}

#[tokio::test]
async fn malformed_headers_are_challenged_and_nothing_worse() {
    let right = STANDARD.encode("test-user:test-pass");
    let mut malformed: Vec<String> = [
        " ",
        "Basic",
        "Basic ",
        "Basic  ",
        "Basic\t",
        "basic:",
        "Basic =",
        "Basic ====",
        "Basic :",
        "Basic a",
        "Basic aa",
        "Basic aaa",
        "Basic !!!!",
        "Basic %3A",
        "Basic null",
        "Basic Og",
        "Digest username=\"a\"",
        "Bearer abc",
        "Bearer a.b.c",
        "Negotiate abc",
        "Basicabc",
        "OgOgOg==",
    ]
    .map(str::to_owned)
    .into();
    malformed.extend([
        format!("Basic  {right}"),
        format!("Basic {right} "),
        format!(" Basic {right}"),
        format!("Basic\t{right}"),
        format!("Basic {right}="),
        format!("Basic {right}, Basic {right}"),
        format!("Basic {right} {right}"),
        format!("Basic\u{a0}{right}"),
        format!("Basic:{right}"),
        format!("Basic realm=\"a\" {right}"),
        format!("\"Basic {right}\""),
        format!("Basic {}", &right[1..]),
        format!("Basic {}", right.replace('=', "")),
        format!("Basic {}", right.to_lowercase()),
        pair("test-user"),
        pair(""),
        pair("test-usertest-pass"),
        pair("test-user;test-pass"),
        pair("test-user:test-pass\0"),
        pair("test-user:test-pass\n"),
        pair("test-user\u{7f}:test-pass"),
        pair(b"test-user:\xff"),
        pair(b"\xfftest-user:test-pass"),
        pair(b"t\xc3\x28:a"),
        pair([0; 100]),
        pair(vec![b'a'; 10_000]),
        pair(format!("test-user:{}", "a".repeat(1 << 20))),
        format!("Basic {}", "A".repeat(100_000)),
    ]);
    assert!(malformed.len() >= 45, "{}", malformed.len());
    for value in &malformed {
        assert!(is_challenged(shown(Some(value)).await), "{value:.100}");
    }
}

#[tokio::test]
async fn credentials_that_come_twice_are_challenged() {
    let mut headers = HeaderMap::new();
    let value: HeaderValue = pair("test-user:test-pass").parse().unwrap();
    headers.append("authorization", value.clone());
    headers.append("authorization", value);
    let context = extract(&headers, Context::new()).unwrap();
    assert!(is_challenged(call(&layer(), context).await));
}

#[tokio::test]
async fn users_that_nobody_can_ask_are_not_the_callers_fault() {
    let error = shown(Some(&pair("broken:a"))).await.err().unwrap();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.attached::<Challenge>().is_none());
    assert!(format!("{error:#}").contains("database is away"), "{error:#}");
}

#[tokio::test(start_paused = true)]
async fn a_remembered_password_is_asked_for_again_when_its_time_is_over() {
    let users = One::default();
    let basic = Basic::new("a").remembered(Duration::from_secs(10));
    let layer = basic.verifier(users.clone()).unwrap().layer();
    let right = || Context::new().with(Credentials::basic("test-user", "test-pass"));
    for _ in 0..5 {
        call(&layer, right()).await.unwrap();
    }
    assert_eq!(users.0.load(Relaxed), 1);
    // Another password is another question, and a wrong one is never remembered.
    for _ in 0..3 {
        let wrong = Context::new().with(Credentials::basic("test-user", "test-pas"));
        assert!(call(&layer, wrong).await.is_err());
    }
    assert_eq!(users.0.load(Relaxed), 4);
    tokio::time::advance(Duration::from_secs(10)).await;
    call(&layer, right()).await.unwrap();
    assert_eq!(users.0.load(Relaxed), 5);
    let shown = layer.handle().snapshot();
    let counts = r#""accepted":6,"refused":3,"undecided":0"#;
    assert_eq!(shown, format!(r#"{{{counts},"verifier":{{"realm":"a","remembered":1}}}}"#));
}

#[test]
fn a_realm_is_quoted_and_one_that_no_header_holds_is_a_mistake() {
    let invalid = |realm: &str| Basic::new(realm).verifier(One::default()).err().unwrap().field;
    assert_eq!((invalid(""), invalid("a\nb"), invalid("é")), ("realm", "realm", "realm"));
    let long = Basic::new("a").remembered(Duration::from_secs(301));
    assert_eq!(long.verifier(One::default()).err().unwrap().field, "remembered");
}

#[tokio::test]
async fn a_quote_in_a_realm_does_not_end_it() {
    let layer = Basic::new(r#"a "b" \c"#).verifier(One::default()).unwrap().layer();
    let error = call(&layer, Context::new()).await.err().unwrap();
    let challenge = &error.attached::<Challenge>().unwrap().0;
    assert_eq!(challenge, r#"Basic realm="a \"b\" \\c", charset="UTF-8""#);
}

#[test]
fn a_line_that_is_no_user_is_named() {
    let hash = Hashes::hash("a").unwrap();
    let line = |lines: &str| Hashes::parse(lines).err().map(|BadUser { line, .. }| line);
    assert_eq!(line(&format!("\n# c\nada:{hash}\nbob:{hash}:a, b\n")), None);
    assert_eq!(line(&format!("ada:{hash}\nada:{hash}")), Some(2));
    for wrong in ["ada", "ada:", "ada:secret", "ada:$2b$12$abc", "ada:$argon2id$v=19$m=1"] {
        assert_eq!(line(wrong), Some(1), "{wrong}");
    }
    // argon2i and argon2d, and other parameters, are read too.
    let foreign =
        "ada:$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$ltrG2Xc0N9YwhbCwxtVYYBK5P9i4sCEAzYmPyQWyTU8";
    assert_eq!(line(foreign), None);
}
