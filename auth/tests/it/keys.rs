//! Keys and what fits them. Those in `keys/` are for these tests only.

use purlin_auth::jwt::{Algorithm, BadKey, Jwt, Key, KeySet, Refused, SigningKey};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

pub(crate) const RSA: &str = include_str!("keys/rsa.pem");
pub(crate) const RSA_PUBLIC: &str = include_str!("keys/rsa.pub.pem");
pub(crate) const P256: &str = include_str!("keys/p256.pem");
pub(crate) const P256_PUBLIC: &str = include_str!("keys/p256.pub.pem");
const RSA_PKCS1: &str = include_str!("keys/rsa.pkcs1.pem");
const RSA_PKCS1_PUBLIC: &str = include_str!("keys/rsa.pkcs1.pub.pem");
const P384: &str = include_str!("keys/p384.pem");
const P384_PUBLIC: &str = include_str!("keys/p384.pub.pem");
const ED25519: &str = include_str!("keys/ed25519.pem");
const ED25519_PUBLIC: &str = include_str!("keys/ed25519.pub.pem");

const SECRET: &[u8] = &[7; 64];

/// Each algorithm, with a key that signs and one that verifies.
fn pairs() -> Vec<(Algorithm, SigningKey, Key)> {
    use Algorithm as A;
    let mut pairs: Vec<_> = [A::Hs256, A::Hs384, A::Hs512]
        .map(|algorithm| (algorithm, SigningKey::secret(algorithm, SECRET), Key::secret(SECRET)))
        .into();
    for (algorithms, private, public) in [
        (&[A::Rs256, A::Rs384, A::Rs512, A::Ps256, A::Ps384, A::Ps512][..], RSA, RSA_PUBLIC),
        (&[A::Rs256, A::Ps512], RSA_PKCS1, RSA_PKCS1_PUBLIC),
        (&[A::Es256], P256, P256_PUBLIC),
        (&[A::Es384], P384, P384_PUBLIC),
        (&[A::EdDsa], ED25519, ED25519_PUBLIC),
    ] {
        pairs.extend(
            algorithms.iter().map(|algorithm| {
                (*algorithm, SigningKey::pem(*algorithm, private), Key::pem(public))
            }),
        );
    }
    pairs.into_iter().map(|(a, sign, verify)| (a, sign.unwrap(), verify.unwrap())).collect()
}

fn verify(algorithm: Algorithm, keys: impl Into<KeySet>, token: &str) -> Option<Refused> {
    let jwt = Jwt::new([algorithm], "a", "b").unexpiring();
    let verifier = jwt.verifier::<Value>(keys.into()).unwrap();
    verifier.verify(token, SystemTime::UNIX_EPOCH + Duration::from_secs(1)).err()
}

#[test]
fn what_is_signed_is_verified_and_by_no_other_key_and_as_nothing_else() {
    let pairs = pairs();
    assert_eq!(pairs.len(), 14);
    let claims = json!({ "iss": "a", "aud": "b" });
    for (algorithm, signing, key) in &pairs {
        let token = signing.sign(&claims).unwrap();
        assert_eq!(verify(*algorithm, key.clone(), &token), None, "{algorithm}");
        for (other, _, wrong) in &pairs {
            if other != algorithm {
                let refused = verify(*other, wrong.clone(), &token);
                assert_eq!(refused, Some(Refused::Algorithm(algorithm.as_str().into())));
            }
        }
        let last = if token.ends_with('A') { "B" } else { "A" };
        let changed = format!("{}{last}", &token[..token.len() - 1]);
        assert!(verify(*algorithm, key.clone(), &changed).is_some(), "{algorithm}");
    }
}

#[test]
fn keys_that_are_weak_or_not_supported_are_refused_when_they_are_read() {
    let weak = Key::pem(include_str!("keys/rsa1024.pub.pem"));
    assert_eq!(weak.unwrap_err(), BadKey::Invalid("an RSA key has 2048 to 8192 bits"));
    let p521 = Key::pem(include_str!("keys/p521.pub.pem"));
    assert!(matches!(p521, Err(BadKey::Unsupported(_))));
    assert!(Key::secret(&[7; 31]).is_err());
    assert!(SigningKey::secret(Algorithm::Hs512, &[7; 63]).is_err());
    assert!(SigningKey::secret(Algorithm::Es256, &[7; 64]).is_err());
    // HS384 wants 48 bytes, and a key of 32 is none for it.
    let token = SigningKey::guessable_secret(Algorithm::Hs384, &[7; 32]).unwrap();
    let token = token.sign(&json!({ "iss": "a", "aud": "b" })).unwrap();
    let key = Key::secret(&[7; 32]).unwrap();
    assert_eq!(verify(Algorithm::Hs384, key, &token), Some(Refused::UnknownKey(None)));
}

#[test]
fn what_is_no_key_in_pem_is_refused() {
    let truncated = &RSA_PUBLIC[..200];
    let relabelled = P256_PUBLIC.replace("PUBLIC KEY", "RSA PUBLIC KEY");
    let der_cut = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYI\n-----END PUBLIC KEY-----\n";
    for wrong in ["", "PUBLIC KEY", RSA, P256, truncated, &relabelled, der_cut] {
        assert!(Key::pem(wrong).is_err(), "{wrong}");
    }
    for (algorithm, pem) in [
        (Algorithm::Es256, P384),
        (Algorithm::Es256, RSA),
        (Algorithm::Rs256, P256),
        (Algorithm::EdDsa, RSA_PKCS1),
        (Algorithm::Es256, P256_PUBLIC),
        (Algorithm::Hs256, RSA),
    ] {
        assert!(SigningKey::pem(algorithm, pem).is_err(), "{algorithm}");
    }
}

#[test]
fn the_key_is_the_one_that_is_named_or_the_only_one_that_fits() {
    let key = |id: &str, secret: u8| Key::secret(&[secret; 32]).unwrap().id(id);
    let sign = |secret: u8| SigningKey::secret(Algorithm::Hs256, &[secret; 32]).unwrap();
    let claims = json!({ "iss": "a", "aud": "b" });
    let token = |key: SigningKey| key.sign(&claims).unwrap();
    let set = || KeySet::new([key("one", 1), key("two", 2)]).unwrap();
    let check = |keys: KeySet, token: &str| verify(Algorithm::Hs256, keys, token);
    assert_eq!(check(set(), &token(sign(2).id("two"))), None);
    assert_eq!(check(set(), &token(sign(2).id("one"))), Some(Refused::Signature));
    let unknown = Some(Refused::UnknownKey(Some("six".into())));
    assert_eq!(check(set(), &token(sign(2).id("six"))), unknown);
    assert_eq!(check(set(), &token(sign(2))), Some(Refused::UnknownKey(None)));
    assert_eq!(check(key("one", 1).into(), &token(sign(1))), None);
    let nameless = Key::secret(&[1; 32]).unwrap();
    assert_eq!(check(nameless.into(), &token(sign(1).id("any"))), None);
}

#[test]
fn a_set_has_each_name_once_and_no_secrets_among_public_keys() {
    let secret = || Key::secret(SECRET).unwrap();
    assert!(KeySet::new([secret().id("a"), secret().id("a")]).is_err());
    assert!(KeySet::new([secret(), Key::pem(P256_PUBLIC).unwrap()]).is_err());
    assert!(KeySet::new([]).is_err());
    assert!(KeySet::new((0..101).map(|n| secret().id(n.to_string()))).is_err());
}

#[test]
fn a_key_never_shows_what_it_is_made_of() {
    let shown = format!(
        "{:?} {:?}",
        Key::guessable_secret(b"swordfish"),
        SigningKey::guessable_secret(Algorithm::Hs256, b"swordfish").unwrap()
    );
    assert!(!shown.contains("swordfish") && !shown.contains("115"), "{shown}");
}
