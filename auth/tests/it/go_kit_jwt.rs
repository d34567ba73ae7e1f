//! What Go kit's tests of its JWT middleware check, with its tokens.
//!
//! Its key is shorter than we let a secret be, and its tokens have no end, no issuer and, one of
//! them, no audience: each is asked for by name here.

use crate::call;
use http::{HeaderMap, HeaderValue};
use purlin_auth::{
    AuthLayer, Authenticate as _, Credentials, extract, inject,
    jwt::{Algorithm, Claims, Jwt, Key, Refused, SigningKey, Verifier},
};
use purlin_endpoint::{Code, Context, Endpoint as _, Error, Layer as _, endpoint_fn};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

const KEY: &[u8] = b"test_signing_key";
const MAP: &str = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImtpZCIsInR5cCI6IkpXVCJ9.eyJ1c2VyIjoiZ28ta2l0In0.14M2VmYyApdSlV_LZ88ajjwuaLeIFplB8JpyNy0A19E";
const STD: &str = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImtpZCIsInR5cCI6IkpXVCJ9.eyJhdWQiOiJnby1raXQifQ.L5ypIJjCOOv3jJ8G5SelaHvR04UJuxmcBN5QW3m_aoY";
const CUS: &str = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImtpZCIsInR5cCI6IkpXVCJ9.eyJteV9wcm9wZXJ0eSI6InNvbWUgdmFsdWUiLCJhdWQiOiJnby1raXQifQ.s8F-IDrV4WPJUsqr7qfDi-3GRlcKR0SRnkTeUT_U-i0";
const RS: &str =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.e30.vKVCKto-Wn6rgz3vBdaZaCBGfCBDTXOENSo_X2Gq7qA";
const BAD: &str = "malformed.jwt.token";

#[derive(Serialize, Deserialize)]
struct Standard {
    aud: String,
}

#[derive(Serialize, Deserialize)]
struct Custom {
    my_property: String,
    aud: String,
}

fn signing() -> SigningKey {
    SigningKey::guessable_secret(Algorithm::Hs256, KEY).unwrap().id("kid")
}

fn parser<T: DeserializeOwned + Send + Sync + 'static>(
    algorithm: Algorithm,
    key: &[u8],
) -> AuthLayer<Verifier<T>> {
    let jwt = Jwt::new([algorithm], "", "").any_issuer().any_audience().unexpiring();
    jwt.verifier(Key::guessable_secret(key).id("kid")).unwrap().layer()
}

async fn parse(token: &str) -> Result<Context, Error> {
    let context = Context::new().with(Credentials::bearer(token));
    call(&parser::<Value>(Algorithm::Hs256, KEY), context).await
}

fn why(outcome: Result<Context, Error>) -> Refused {
    let error = outcome.expect_err("a refusal");
    assert_eq!(error.code(), Code::Unauthenticated);
    error.find::<Refused>().expect("a reason").clone()
}

/// The token that the signer gives to a call.
async fn signed(claims: impl Serialize + Clone + Send + Sync + 'static) -> String {
    let credentials = endpoint_fn(async |context: Context, ()| {
        Ok::<_, Error>(context.get::<Credentials>().cloned())
    });
    let client = signing().layer(move |_| claims.clone()).layer(credentials);
    let credentials = client.invoke(Context::new(), ()).await.unwrap().unwrap();
    credentials.value().unwrap().strip_prefix("Bearer ").unwrap().to_owned()
}

#[tokio::test]
async fn j_1_a_map_is_signed_as_go_kit_signs_it() {
    assert_eq!(signed(json!({ "user": "go-kit" })).await, MAP);
}

#[tokio::test]
async fn j_2_standard_claims_are_signed_as_go_kit_signs_them() {
    assert_eq!(signed(json!({ "aud": "go-kit" })).await, STD);
    assert_eq!(signing().sign(&Standard { aud: "go-kit".into() }).unwrap(), STD);
}

#[test]
fn j_3_claims_of_ones_own_are_signed_in_the_order_of_their_type() {
    let claims = Custom { my_property: "some value".into(), aud: "go-kit".into() };
    assert_eq!(signing().sign(&claims).unwrap(), CUS);
}

#[tokio::test]
async fn j_4_no_token_is_missed() {
    let parser = parser::<Value>(Algorithm::Hs256, KEY);
    assert_eq!(why(call(&parser, Context::new()).await), Refused::Missing);
}

#[tokio::test]
async fn j_5_a_token_of_another_algorithm_is_refused() {
    assert_eq!(why(parse(RS).await), Refused::Algorithm("RS256".into()));
}

#[tokio::test]
async fn j_6_a_token_of_a_known_algorithm_that_was_not_asked_for_is_refused() {
    let context = Context::new().with(Credentials::bearer(MAP));
    let outcome = call(&parser::<Value>(Algorithm::Rs256, KEY), context).await;
    assert_eq!(why(outcome), Refused::Algorithm("HS256".into()));
}

#[tokio::test]
async fn j_7_a_token_of_another_key_is_refused() {
    let context = Context::new().with(Credentials::bearer(MAP));
    let outcome = call(&parser::<Value>(Algorithm::Hs256, b"bad"), context).await;
    assert_eq!(why(outcome), Refused::Signature);
}

#[tokio::test]
async fn j_8_the_claims_of_a_good_token_are_in_the_context() {
    let context = parse(MAP).await.unwrap();
    assert_eq!(context.get::<Claims<Value>>().unwrap()["user"], "go-kit");
}

#[tokio::test]
async fn j_9_a_malformed_token_is_refused_as_malformed() {
    assert!(matches!(why(parse(BAD).await), Refused::Malformed(_)));
}

fn seconds_from_now(offset: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + offset
}

#[tokio::test]
async fn j_10_an_expired_token_is_refused_as_expired() {
    let token = signing().sign(&json!({ "exp": seconds_from_now(-100) })).unwrap();
    assert_eq!(why(parse(&token).await), Refused::Expired);
}

#[tokio::test]
async fn j_11_a_token_that_is_not_valid_yet_is_refused_as_that() {
    let token = signing().sign(&json!({ "nbf": seconds_from_now(100) })).unwrap();
    assert_eq!(why(parse(&token).await), Refused::TooEarly);
}

#[tokio::test]
async fn j_12_standard_claims_are_read_and_their_audience_is_checked() {
    let jwt = Jwt::new([Algorithm::Hs256], "", "go-kit").any_issuer().unexpiring();
    let verifier = |jwt: Jwt| jwt.verifier::<Standard>(Key::guessable_secret(KEY)).unwrap().layer();
    let context = || Context::new().with(Credentials::bearer(STD));
    let known = call(&verifier(jwt), context()).await.unwrap();
    assert_eq!(known.get::<Claims<Standard>>().unwrap().aud, "go-kit");
    let other = Jwt::new([Algorithm::Hs256], "", "Go-Kit").any_issuer().unexpiring();
    assert_eq!(why(call(&verifier(other), context()).await), Refused::Audience);
}

#[tokio::test]
async fn j_13_claims_of_ones_own_are_read() {
    let context = Context::new().with(Credentials::bearer(CUS));
    let context = call(&parser::<Custom>(Algorithm::Hs256, KEY), context).await.unwrap();
    let claims = context.get::<Claims<Custom>>().unwrap();
    assert_eq!((&*claims.my_property, &*claims.aud), ("some value", "go-kit"));
}

#[tokio::test]
async fn j_14_a_hundred_tasks_parse_the_same_token_through_one_layer() {
    let parser = parser::<Custom>(Algorithm::Hs256, KEY);
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let parser = parser.clone();
            tokio::spawn(async move {
                let context = Context::new().with(Credentials::bearer(CUS));
                let context = call(&parser, context).await.unwrap();
                context.get::<Claims<Custom>>().unwrap().my_property.clone()
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "some value");
    }
}

/// What a layer finds in headers.
async fn in_headers(value: Option<&'static str>) -> Result<Context, Error> {
    let mut headers = HeaderMap::new();
    if let Some(value) = value {
        headers.insert("authorization", HeaderValue::from_static(value));
    }
    let context = extract(&headers, Context::new()).unwrap();
    call(&parser::<Value>(Algorithm::Hs256, KEY), context).await
}

/// A bearer token as a header.
fn bearer() -> &'static str {
    Box::leak(format!("Bearer {MAP}").into_boxed_str())
}

#[tokio::test]
async fn j_15_20_no_header_is_no_token() {
    assert_eq!(why(in_headers(None).await), Refused::Missing);
}

#[tokio::test]
async fn j_16_a_header_of_another_form_is_no_token() {
    let value = "no expected auth header format value";
    assert_eq!(why(in_headers(Some(value)).await), Refused::Missing);
}

#[tokio::test]
async fn j_17_22_a_bearer_header_is_a_token_and_its_scheme_may_be_written_in_any_case() {
    assert!(in_headers(Some(bearer())).await.is_ok());
    let shouted = bearer().replacen("Bearer", "BEARER", 1);
    assert!(in_headers(Some(Box::leak(shouted.into_boxed_str()))).await.is_ok());
}

#[test]
fn j_18_23_without_a_token_no_header_is_written() {
    let mut headers = HeaderMap::new();
    inject(&Context::new(), &mut headers).unwrap();
    assert!(headers.is_empty());
}

#[test]
fn j_19_24_a_token_is_written_as_a_bearer_header() {
    let mut headers = HeaderMap::new();
    inject(&Context::new().with(Credentials::bearer(MAP)), &mut headers).unwrap();
    assert_eq!(headers["authorization"], bearer());
}

#[tokio::test]
async fn j_21_a_token_without_its_scheme_is_none() {
    assert_eq!(why(in_headers(Some(MAP)).await), Refused::Missing);
}

#[test]
fn a_default_verifier_wants_more_than_go_kits() {
    assert!(Key::secret(KEY).is_err());
    let verify = |jwt: Jwt| {
        let verifier = jwt.verifier::<Value>(Key::guessable_secret(KEY)).unwrap();
        verifier.verify(MAP, SystemTime::UNIX_EPOCH + Duration::from_secs(1)).err()
    };
    let strict = Jwt::new([Algorithm::Hs256], "issuer", "audience");
    assert_eq!(verify(strict.clone()), Some(Refused::Expired));
    assert_eq!(verify(strict.clone().unexpiring()), Some(Refused::Issuer));
    assert_eq!(verify(strict.unexpiring().any_issuer()), Some(Refused::Audience));
}
