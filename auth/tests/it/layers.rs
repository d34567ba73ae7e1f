//! The layers among hostile neighbours.

use crate::{call, showing};
use purlin_auth::{
    Authenticate as _, Credentials, Principal, Scheme,
    basic::{Basic, Hashes, Users},
    jwt::{Algorithm, Claims, Jwt, Key, SigningKey},
    rbac::{Policy, Rbac, Role},
};
use purlin_endpoint::{BoxError, Context, Method, conformance};

/// A store whose answer has to be waited for, at no cost.
struct Waits;

impl Users for Waits {
    async fn verify(
        &self,
        user: &str,
        password: &str,
    ) -> Result<Option<purlin_auth::Principal>, BoxError> {
        tokio::task::yield_now().await;
        Ok((password == "right")
            .then(|| purlin_auth::Principal::new(purlin_auth::Scheme::Basic, user)))
    }
}

#[tokio::test]
async fn basic_is_a_layer_like_any_other() {
    let layer = || Basic::new("a").verifier(Waits).unwrap().layer();
    let right = Credentials::basic("ada", "right");
    conformance::check(|| showing(right.clone(), layer())).await;
    conformance::check_refusing(layer).await;
    conformance::check_refusing(|| showing(Credentials::basic("ada", "wrong"), layer())).await;
}

#[tokio::test]
async fn jwt_is_a_layer_like_any_other() {
    let secret = [7; 32];
    let layer = || {
        let jwt = Jwt::new([Algorithm::Hs256], "a", "b").unexpiring();
        jwt.verifier::<serde_json::Value>(Key::secret(&secret).unwrap()).unwrap().layer()
    };
    let key = SigningKey::secret(Algorithm::Hs256, &secret).unwrap();
    let token = key.sign(&serde_json::json!({ "iss": "a", "aud": "b" })).unwrap();
    conformance::check(|| showing(Credentials::bearer(&token), layer())).await;
    conformance::check_refusing(layer).await;
    conformance::check_refusing(|| showing(Credentials::bearer("a.b.c"), layer())).await;
}

#[tokio::test]
async fn a_token_without_a_subject_names_nobody_whoever_was_let_in_further_out() {
    static METHOD: Method = Method::unary("a.B", "C");
    let secret = [7; 32];
    let jwt = Jwt::new([Algorithm::Hs256], "a", "b").unexpiring();
    let verifier = jwt.verifier::<serde_json::Value>(Key::secret(&secret).unwrap()).unwrap();
    let layer = verifier.roles(|_| vec!["root".to_owned()]).layer();
    let key = SigningKey::secret(Algorithm::Hs256, &secret).unwrap();
    let seen = async |claims: serde_json::Value| {
        let outer = Principal::new(Scheme::Basic, "root").roles(["root"]).scopes(["all"]);
        let token = Credentials::bearer(&key.sign(&claims).unwrap());
        let context = Context::new().with_method(&METHOD).with(outer).with(token);
        call(&layer, context).await.unwrap()
    };
    let nobody = seen(serde_json::json!({ "iss": "a", "aud": "b", "scope": "all" })).await;
    assert_eq!(nobody.get::<Principal>(), None);
    assert_eq!(nobody.get::<Claims<serde_json::Value>>().unwrap()["scope"], "all");
    let ada = seen(serde_json::json!({ "iss": "a", "aud": "b", "sub": "ada" })).await;
    assert_eq!(ada.get::<Principal>().unwrap().name(), "ada");
    assert!(!ada.get::<Principal>().unwrap().has_scope("all"));

    let policy = Policy::new()
        .role("root", Role::new().allow("**"))
        .subject("authenticated", ["root"])
        .subject("basic:root", ["root"]);
    let rules = Rbac::new(policy).layer().unwrap().handle();
    assert!(!rules.explain(&nobody).is_allowed() && rules.explain(&ada).is_allowed());
}

#[tokio::test]
async fn signing_is_a_layer_like_any_other() {
    let key = SigningKey::secret(Algorithm::Hs256, &[7; 32]).unwrap();
    conformance::check(|| key.clone().layer(|_| serde_json::json!({ "iss": "a" }))).await;
}

#[tokio::test]
async fn passwords_are_checked_off_the_async_threads() {
    // With one thread for async work, a hash that is computed on it would hold this up.
    let users = Hashes::new().password("ada", "right").unwrap();
    let checks: Vec<_> = (0..4)
        .map(|_| {
            let users = users.clone();
            tokio::spawn(async move { users.verify("ada", "right").await.unwrap().is_some() })
        })
        .collect();
    let mut turns = 0;
    while !checks.iter().all(tokio::task::JoinHandle::is_finished) {
        tokio::task::yield_now().await;
        turns += 1;
    }
    for check in checks {
        assert!(check.await.unwrap());
    }
    assert!(turns > 100, "the async thread had {turns} turns while four passwords were checked");
}
