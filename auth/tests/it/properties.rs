//! What holds for any header, token, document of keys and policy: 10^5 of each.

use crate::{attacks, call, keys::P256_PUBLIC};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use purlin_auth::{
    Authenticate as _, Credentials, Principal, Scheme,
    basic::{Basic, Users},
    jwt::{Algorithm, Jwt, Key, KeySet, SigningKey, Verifier},
    rbac::{Policy, Rbac},
};
use purlin_endpoint::{BoxError, Code, Context, Method};
use serde::de::IgnoredAny;
use std::time::{Duration, SystemTime};

fn runner() -> TestRunner {
    let cases = if std::env::var_os("PURLIN_SOAK").is_some() { 1_000_000 } else { 100_000 };
    TestRunner::new_with_rng(
        Config { cases, failure_persistence: None, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    )
}

/// A change of a text: at which byte, of which kind, with which byte.
type Change = (usize, u8, u8);

fn changed(text: &str, changes: &[Change]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (at, kind, byte) in changes {
        let at = at % bytes.len().max(1);
        match kind % 4 {
            0 if at < bytes.len() => bytes[at] = *byte,
            1 => bytes.insert(at, *byte),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    vec((any::<usize>(), any::<u8>(), prop_oneof![any::<u8>(), 0x20..0x7f_u8]), 1..4)
}

/// Knows the one pair that no change of it is.
struct Nobody;

impl Users for Nobody {
    async fn verify(&self, user: &str, password: &str) -> Result<Option<Principal>, BoxError> {
        assert!(!user.contains(':') && !user.chars().chain(password.chars()).any(char::is_control));
        Ok(None)
    }
}

#[test]
fn no_header_does_worse_than_being_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let basic = Basic::new("a").verifier(Nobody).unwrap().layer();
    let jwt = verifier(Key::pem(P256_PUBLIC).unwrap()).layer();
    let any =
        prop_oneof!["\\PC{0,40}", "(?i)basic [A-Za-z0-9+/=]{0,40}", "(?i)bearer [!-~ ]{0,40}"];
    let pair = "Basic YWRhOnN3b3JkZmlzaDp3b3JkczogYW5kIG1vcmU=";
    let neighbour = changes()
        .prop_map(move |changes| String::from_utf8_lossy(&changed(pair, &changes)).into_owned());
    let header = prop_oneof![any, neighbour];
    let test = |header: String| {
        let context = || Context::new().with(Credentials::new(header.clone()));
        let (basic, jwt) = runtime
            .block_on(async { (call(&basic, context()).await, call(&jwt, context()).await) });
        prop_assert_eq!(basic.err().unwrap().code(), Code::Unauthenticated);
        prop_assert_eq!(jwt.err().unwrap().code(), Code::Unauthenticated);
        Ok(())
    };
    runner().run(&header, test).unwrap();
}

fn verifier(key: Key) -> Verifier<IgnoredAny> {
    let jwt = Jwt::new([Algorithm::Es256, Algorithm::Hs256], "https://issuer", "api");
    jwt.verifier(KeySet::from(key)).unwrap()
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(attacks::NOW)
}

#[test]
fn no_change_of_a_token_is_accepted() {
    let verifier = verifier(Key::pem(P256_PUBLIC).unwrap());
    let good = attacks::signed(attacks::HEADER, attacks::CLAIMS);
    assert!(verifier.verify(&good, now()).is_ok());
    let test = |changes: Vec<Change>| {
        let token = changed(&good, &changes);
        let Ok(token) = str::from_utf8(&token) else { return Ok(()) };
        prop_assert_eq!(verifier.verify(token, now()).is_ok(), token == good, "{}", token);
        Ok(())
    };
    runner().run(&changes(), test).unwrap();
}

/// A claim as JSON, and whether a token that has it may be accepted.
fn claim(name: &'static str, good: Vec<String>, bad: Vec<String>) -> BoxedStrategy<(String, bool)> {
    let claim = move |value: String| format!("\"{name}\":{value}");
    let good: Vec<_> = good.into_iter().map(|value| (claim(value), true)).collect();
    let bad: Vec<_> = bad.into_iter().map(|value| (claim(value), false)).collect();
    prop_oneof![4 => prop::sample::select(good), 1 => prop::sample::select(bad)].boxed()
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).into()
}

#[test]
fn a_signed_token_is_accepted_if_all_its_claims_are_good_in_any_order() {
    let secret = [7; 32];
    let verifier = verifier(Key::secret(&secret).unwrap());
    let signing = SigningKey::secret(Algorithm::Hs256, &secret).unwrap();
    let at = |offset: i64| attacks::NOW.checked_add_signed(offset).unwrap().to_string();
    let times = ["\"1\"", "1.5", "null", "-1", "[]", "{}", "true", "99999999999999999999"];
    let bad = |more: Vec<String>| [texts(times), more].concat();
    let claims = (
        claim("exp", vec![at(1), at(1_000_000)], bad(vec![at(0), at(-1), "0".into()])),
        claim("nbf", vec![at(0), "0".into()], bad(vec![at(1)])),
        claim("iat", vec![at(0), at(-100)], bad(vec![at(1)])),
        claim("iss", texts(["\"https://issuer\""]), texts(["\"https://issuer \"", "null", "[]"])),
        claim(
            "aud",
            texts(["\"api\"", "[\"api\"]", "[\"b\",\"api\"]"]),
            texts(["[]", "\"b\"", "1"]),
        ),
        claim(
            "x",
            texts(["{\"exp\":0}", "[[[1]]]", "\"\\u0000\"", "0.1"]),
            texts(["{\"a\":1,\"a\":1}"]),
        ),
    );
    let order = Just((0..6).collect::<Vec<usize>>()).prop_shuffle();
    let test = |(claims, order): (_, Vec<usize>)| {
        let (exp, nbf, iat, iss, aud, x): (_, _, _, _, _, (String, bool)) = claims;
        let claims = [exp, nbf, iat, iss, aud, x];
        let text: Vec<&str> = order.iter().map(|index| &*claims[*index].0).collect();
        let text = serde_json::value::RawValue::from_string(format!("{{{}}}", text.join(",")));
        let token = signing.sign(&text.unwrap()).unwrap();
        let good = claims.iter().all(|(_, good)| *good);
        prop_assert_eq!(verifier.verify(&token, now()).is_ok(), good, "{:?}", claims);
        Ok(())
    };
    runner().run(&(claims, order), test).unwrap();
}

#[test]
fn a_document_of_keys_is_read_or_refused() {
    let good = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"a","use":"sig","alg":"ES256","x":"2IZfIJKpo-TgwGQgayvUQS7sQIkwVlMURLRTqc7ug9w","y":"geoh82GBIShFCw8C4rg7oCf0CTH0iHyG6uwx9lPgspw"},{"kty":"OKP","crv":"Ed25519","kid":"b","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},{"kty":"RSA","kid":"c","n":"AQAB","e":"AQAB"}]}"#;
    assert!(KeySet::jwks(good).is_ok());
    let mut read = 0;
    let count = std::cell::RefCell::new(&mut read);
    let test = |changes: Vec<Change>| {
        let document = changed(good, &changes);
        if str::from_utf8(&document).is_ok_and(|document| KeySet::jwks(document).is_ok()) {
            **count.borrow_mut() += 1;
        }
        Ok(())
    };
    runner().run(&changes(), test).unwrap();
    // What is changed is often the third key, which is no good anyway, or one of the two others.
    assert!(read > 1000, "{read}");
}

static PAY: Method = Method::unary("billing.Billing", "Pay");

#[test]
fn no_change_of_a_policy_lets_in_whom_it_does_not_name() {
    let good = r#"{"roles":{"r":{"allow":["a.B/C"]},"s":{"inherits":["r"],"allow":["a.**"],"deny":["a.B/D"]}},"subjects":{"basic:ann":["s"],"jwt:bob":["r"]}}"#;
    let (mut read, mut refused) = (0, 0);
    let counts = std::cell::RefCell::new((&mut read, &mut refused));
    let test = |changes: Vec<Change>| {
        let text = changed(good, &changes);
        let Ok(text) = str::from_utf8(&text) else { return Ok(()) };
        let Ok(policy) = Policy::parse(text) else {
            *counts.borrow_mut().1 += 1;
            return Ok(());
        };
        *counts.borrow_mut().0 += 1;
        let written = serde_json::to_string(&policy).unwrap();
        prop_assert_eq!(Policy::parse(&written), Ok(policy.clone()));
        let handle = Rbac::new(policy).layer().unwrap().handle();
        let pay = Context::new().with_method(&PAY);
        let eve = pay.clone().with(Principal::new(Scheme::Tls, "eve"));
        // Three changes make neither of the subjects `anyone`, nor `a.**` the name of another.
        prop_assert!(!handle.explain(&pay).is_allowed(), "{}", text);
        prop_assert!(!handle.explain(&eve).is_allowed(), "{}", text);
        Ok(())
    };
    runner().run(&changes(), test).unwrap();
    assert!(read > 1000 && refused > 1000, "{read} read, {refused} refused");
}
