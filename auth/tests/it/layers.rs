//! The layers among hostile neighbours.

use crate::showing;
use purlin_auth::{
    Authenticate as _, Credentials,
    basic::{Basic, Hashes, Users},
    jwt::{Algorithm, Jwt, Key, SigningKey},
};
use purlin_endpoint::{BoxError, conformance};

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
