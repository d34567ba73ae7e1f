//! What callers show, the keys that it is verified with, and the rules for what they may do.

use super::Reading;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use purlin_auth::{
    Authenticate as _, Principal, Scheme,
    basic::{Basic, Users},
    extract,
    jwt::{Algorithm, Jwt, Key, KeySet},
    rbac::{Policy, Rbac},
};
use purlin_endpoint::{
    BoxError, Challenge, Code, Context, Endpoint as _, Error, Layer as _, Method, endpoint_fn,
};
use std::time::{Duration, SystemTime};

/// Every user has every password: what is left is the header.
struct Anybody;

impl Users for Anybody {
    async fn verify(&self, user: &str, _: &str) -> Result<Option<Principal>, BoxError> {
        Ok(Some(Principal::new(Scheme::Basic, user)))
    }
}

/// A user and a password in a header. Whatever it is, the answer is a principal or a challenge.
pub(super) async fn authorization(bytes: Vec<u8>) -> Reading {
    let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Reading::Unsent };
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    let context = extract(&headers, Context::new()).expect("it never fails");
    let layer = Basic::new("a").verifier(Anybody).expect("valid").layer();
    let whoami = endpoint_fn(async |context: Context, ()| {
        Ok::<_, Error>(context.get::<Principal>().expect("it is known").name().to_owned())
    });
    match layer.layer(whoami).invoke(context, ()).await {
        Ok(_) => Reading::Taken,
        Err(error) => {
            assert_eq!(error.code(), Code::Unauthenticated, "{error:#}");
            assert!(error.attached::<Challenge>().is_some(), "{error:#}");
            Reading::Refused
        }
    }
}

/// The key that the good tokens of the corpus are signed with.
const KEY: &str = r#"{"kty":"EC","crv":"P-256","kid":"k1","use":"sig","alg":"ES256","x":"2IZfIJKpo-TgwGQgayvUQS7sQIkwVlMURLRTqc7ug9w","y":"geoh82GBIShFCw8C4rg7oCf0CTH0iHyG6uwx9lPgspw"}"#;

/// A token. Only the holder of the key can make one that is taken.
pub(super) async fn token(bytes: Vec<u8>) -> Reading {
    let Ok(token) = str::from_utf8(&bytes) else { return Reading::Unsent };
    let key = Key::jwk(KEY).expect("valid");
    let jwt = Jwt::new([Algorithm::Es256], "https://issuer", "api");
    let verifier = jwt.verifier::<serde::de::IgnoredAny>(KeySet::from(key)).expect("valid");
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    Reading::of(verifier.verify(token, now).is_ok())
}

/// A document of keys.
pub(super) async fn jwks(bytes: Vec<u8>) -> Reading {
    let Ok(document) = str::from_utf8(&bytes) else { return Reading::Unsent };
    Reading::of(KeySet::jwks(document).is_ok())
}

static METHODS: [Method; 2] = [Method::unary("a.B", "C"), Method::unary("a", "C")];

/// A policy: it is the same when it is written and read again, and decides by rules that it has.
pub(super) async fn policy(bytes: Vec<u8>) -> Reading {
    let Ok(text) = str::from_utf8(&bytes) else { return Reading::Unsent };
    let Ok(policy) = Policy::parse(text) else { return Reading::Refused };
    let written = serde_json::to_value(&policy).expect("it is data");
    assert_eq!(Policy::parse(&written.to_string()).as_ref(), Ok(&policy));
    let handle = Rbac::new(policy).layer().expect("it makes sense").handle();
    assert!(!handle.explain(&Context::new()).is_allowed(), "a call without a method");
    for method in &METHODS {
        let anyone = Context::new().with_method(method);
        let ann = anyone.clone().with(Principal::new(Scheme::Basic, "ann"));
        for decision in [handle.explain(&anyone), handle.explain(&ann)] {
            let kind = if decision.is_allowed() { "allow" } else { "deny" };
            let Some((role, rule)) = decision.role().zip(decision.rule()) else {
                assert_eq!(kind, "deny", "{decision}");
                continue;
            };
            let rules = written["roles"][role][kind].as_array();
            assert!(rules.is_some_and(|rules| rules.iter().any(|it| it == rule)), "{decision}");
        }
    }
    Reading::Taken
}
