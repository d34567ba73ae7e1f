//! Tokens of attackers. What can be signed is signed with the right key, so that nothing but the
//! attack is wrong with it.

use crate::keys::{P256, P256_PUBLIC, RSA_PUBLIC};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD},
};
use purlin_auth::jwt::{Algorithm, Jwt, Key, KeySet, Refused, SigningKey, Verifier};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use serde_json::Value;
use std::time::{Duration, SystemTime};

pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) const HEADER: &str = r#"{"alg":"ES256","kid":"k1","typ":"JWT"}"#;
pub(crate) const CLAIMS: &str =
    r#"{"iss":"https://issuer","aud":"api","sub":"ada","exp":1800000060,"nbf":1799999990}"#;

fn encode(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn private_key() -> Vec<u8> {
    let body: String = P256.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(body).unwrap()
}

/// Signs any header and any claims, as a JSON library would not.
pub(crate) fn signed(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    format!("{message}.{}", encode(signature(&message)))
}

fn signature(message: &str) -> Vec<u8> {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &private_key(), &random);
    key.unwrap().sign(&random, message.as_bytes()).unwrap().as_ref().to_vec()
}

fn hmac_signed(header: &str, secret: &[u8]) -> String {
    let message = format!("{}.{}", encode(header), encode(CLAIMS));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", encode(tag))
}

fn with_claim(member: &str) -> String {
    let name = member.split(':').next().unwrap();
    let claims: serde_json::Map<String, Value> = serde_json::from_str(CLAIMS).unwrap();
    let kept = claims.iter().filter(|(known, _)| format!("{known:?}") != name);
    let kept: Vec<_> = kept.map(|(name, value)| format!("{name:?}:{value}")).collect();
    signed(HEADER, format!("{{{},{member}}}", kept.join(",")))
}

fn without_claim(name: &str) -> String {
    let mut claims: serde_json::Map<String, Value> = serde_json::from_str(CLAIMS).unwrap();
    claims.remove(name).unwrap();
    signed(HEADER, Value::from(claims).to_string())
}

fn with_header(member: &str) -> String {
    signed(format!("{},{member}}}", &HEADER[..HEADER.len() - 1]), CLAIMS)
}

/// Each attack by its name. Those whose key is unknown are at the end, as [`unknown_keys`].
pub(crate) fn attacks() -> Vec<(String, String)> {
    let good = signed(HEADER, CLAIMS);
    let [header, claims, proof] = good.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
    let message = format!("{header}.{claims}");
    let raw = signature(&message);
    let mut attacks: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, token: String| attacks.push((name.to_owned(), token));

    for none in ["none", "None", "NONE", "nOnE", "", "ES256\\u0000", " ES256", "es256", "HS256"] {
        let header = format!(r#"{{"alg":"{none}","kid":"k1"}}"#);
        add(&format!("alg {none:?}, empty signature"), format!("{}.{claims}.", encode(&header)));
        add(&format!("alg {none:?}, signed"), signed(&header, CLAIMS));
    }
    for alg in ["null", "[]", "[\"ES256\"]", "{}", "256", "true"] {
        add(&format!("alg {alg}"), signed(format!(r#"{{"alg":{alg},"kid":"k1"}}"#), CLAIMS));
    }
    add("no alg", signed(r#"{"kid":"k1"}"#, CLAIMS));
    for alg in ["ES384", "ES512", "ES256K", "RS256", "PS256", "EdDSA"] {
        add(
            &format!("alg {alg} for a key of P-256"),
            signed(format!(r#"{{"alg":"{alg}","kid":"k1"}}"#), CLAIMS),
        );
    }
    for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","kid":"k1"}"#] {
        let der: String = P256_PUBLIC.lines().filter(|line| !line.starts_with('-')).collect();
        add("HMAC with the public key in PEM", hmac_signed(header, P256_PUBLIC.as_bytes()));
        add("HMAC with PEM, trimmed", hmac_signed(header, P256_PUBLIC.trim().as_bytes()));
        add("HMAC with the public key in DER", hmac_signed(header, &STANDARD.decode(der).unwrap()));
        add("HMAC with nothing", hmac_signed(header, b""));
    }
    for member in [
        r#""jku":"https://evil.example/jwks""#,
        r#""x5u":"https://evil.example/cert""#,
        r#""jwk":{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#,
        r#""x5c":["MIIB"]"#,
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""b64":false"#,
        r#""crit":["b64"],"b64":false"#,
        r#""zip":"DEF""#,
        r#""enc":"A128GCM""#,
        r#""alg":"ES256""#,
        r#""kid":"k1""#,
        r#""kid":null"#,
        r#""\u0061lg":"ES256""#,
        r#""a":{"b":1,"b":1}"#,
    ] {
        add(&format!("header with {member}"), with_header(member));
    }
    for kid in ["[]", "{}", "1", "null", "[\"k1\"]"] {
        add(&format!("kid {kid}"), signed(format!(r#"{{"alg":"ES256","kid":{kid}}}"#), CLAIMS));
    }
    add("a huge kid", signed(format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(2000)), CLAIMS));
    for typ in
        ["\"logout+jwt\"", "\"secevent+jwt\"", "\"dpop+jwt\"", "\"JWE\"", "1", "null", "\"\""]
    {
        add(
            &format!("typ {typ}"),
            signed(format!(r#"{{"alg":"ES256","kid":"k1","typ":{typ}}}"#), CLAIMS),
        );
    }
    for name in ["exp", "nbf", "iat"] {
        for value in [
            "\"1800000060\"",
            "1800000060.5",
            "-1",
            "1e400",
            "9223372036854775807",
            "[1800000060]",
            "null",
            "true",
            "{}",
            "18446744073709551616",
            "1e3",
            "\"\"",
            "NaN",
        ] {
            add(&format!("{name} {value}"), with_claim(&format!("\"{name}\":{value}")));
        }
    }
    add("exp now", with_claim(&format!("\"exp\":{NOW}")));
    add("exp 0", with_claim("\"exp\":0"));
    add("nbf later", with_claim(&format!("\"nbf\":{}", NOW + 1)));
    add("iat later", with_claim(&format!("\"iat\":{}", NOW + 1)));
    for name in ["exp", "aud", "iss"] {
        add(&format!("no {name}"), without_claim(name));
    }
    for aud in [
        "[]",
        "\"API\"",
        "\"api \"",
        "\"\"",
        "null",
        "{}",
        "1",
        "[\"other\"]",
        "[\"api\",1]",
        "[[\"api\"]]",
        "\"other api\"",
    ] {
        add(&format!("aud {aud}"), with_claim(&format!("\"aud\":{aud}")));
    }
    for iss in [
        "\"https://issuer/\"",
        "\"HTTPS://ISSUER\"",
        "\"https://evil\"",
        "null",
        "[\"https://issuer\"]",
        "\"\"",
    ] {
        add(&format!("iss {iss}"), with_claim(&format!("\"iss\":{iss}")));
    }
    add("sub 1", with_claim("\"sub\":1"));
    for (first, last) in
        [("exp", "1900000000"), ("aud", "\"api\""), ("sub", "\"root\""), ("x", "1")]
    {
        let twice =
            format!("{},\"{first}\":{last},\"{first}\":{last}}}", &CLAIMS[..CLAIMS.len() - 1]);
        add(&format!("{first} twice"), signed(HEADER, twice));
    }
    add(
        "a duplicate in escapes",
        signed(HEADER, format!("{},\"su\\u0062\":\"root\"}}", &CLAIMS[..CLAIMS.len() - 1])),
    );
    for payload in
        ["", "null", "[]", "\"a\"", "{", "{}{}", "{} x", "\u{feff}{}", "{\"a\":01}", "\0"]
    {
        add(&format!("payload {payload:?}"), signed(HEADER, payload));
    }
    let deep =
        format!("{},\"a\":{}{}}}", &CLAIMS[..CLAIMS.len() - 1], "[".repeat(1500), "]".repeat(1500));
    add("1,500 levels", signed(HEADER, deep));
    add("not UTF-8", signed(HEADER, b"{\"iss\":\"\xff\"}"));

    // Signatures.
    add("no signature", format!("{message}."));
    add("psychic: r = s = 0", format!("{message}.{}", encode([0; 64])));
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> =
        (0..32).map(|i| u8::from_str_radix(&order[2 * i..2 * i + 2], 16).unwrap()).collect();
    add("r = s = n", format!("{message}.{}", encode([&order[..], &order].concat())));
    add("r = n", format!("{message}.{}", encode([&order[..], &raw[32..]].concat())));
    add("s = n", format!("{message}.{}", encode([&raw[..32], &order].concat())));
    add("s = 0", format!("{message}.{}", encode([&raw[..32], &[0; 32]].concat())));
    add("r = 0", format!("{message}.{}", encode([&[0; 32], &raw[32..]].concat())));
    add("all ones", format!("{message}.{}", encode([255; 64])));
    add("one byte less", format!("{message}.{}", encode(&raw[..63])));
    add("one byte more", format!("{message}.{}", encode([&raw[..], &[0]].concat())));
    add("one byte before", format!("{message}.{}", encode([&[0], &raw[..]].concat())));
    add("halves swapped", format!("{message}.{}", encode([&raw[32..], &raw[..32]].concat())));
    let random = SystemRandom::new();
    let der = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &private_key(), &random);
    let der = der.unwrap().sign(&random, message.as_bytes()).unwrap();
    add("a signature in DER", format!("{message}.{}", encode(der.as_ref())));

    // Spellings.
    add("padding", format!("{message}.{}", URL_SAFE.encode(&raw)));
    add("padding in the header", format!("{header}=.{claims}.{proof}"));
    add("the other alphabet", format!("{message}.{}", STANDARD.encode([255; 64])));
    add("a space inside", format!("{header}.{claims} .{proof}"));
    add("a space before", format!(" {good}"));
    add("a newline behind", format!("{good}\n"));
    add("trailing bits", trailing_bits(&good));
    add("two parts", message.clone());
    add("one part", header.to_owned());
    add("four parts", format!("{good}."));
    add("five parts", format!("{good}..{proof}"));
    add("no parts", String::new());
    add("dots", "..".into());
    add("an encrypted token", format!("{}..AA.AA.AA", encode(r#"{"alg":"dir","enc":"A128GCM"}"#)));
    add("a token in a token", signed(r#"{"alg":"ES256","kid":"k1","cty":"JWT"}"#, &good));
    add(
        "JSON serialization",
        format!(r#"{{"protected":"{header}","payload":"{claims}","signature":"{proof}"}}"#),
    );
    add("1 MiB", signed(HEADER, vec![b' '; 1 << 20]));
    add("9 KiB", with_claim(&format!("\"a\":\"{}\"", "a".repeat(7000))));
    add("10,000 levels", signed(HEADER, "[".repeat(10_000)));
    attacks
}

/// Tokens that name keys that do not exist.
pub(crate) fn unknown_keys() -> Vec<(String, String)> {
    let kids = ["../../etc/passwd", "' OR 1=1 --", "k1\\u0000", "k2", "K1", "", "k1 ", "/dev/null"];
    let token = |kid| signed(format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#), CLAIMS);
    kids.map(|kid| (format!("kid {kid:?}"), token(kid))).into()
}

/// The same bytes in another spelling: the last letter of a signature has bits that say nothing.
fn trailing_bits(token: &str) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = token.chars().next_back().unwrap();
    let next = LETTERS.chars().nth(LETTERS.find(last).unwrap() + 1).unwrap();
    format!("{}{next}", &token[..token.len() - 1])
}

fn verifier(algorithms: &[Algorithm], key: Key) -> Verifier<Value> {
    let jwt = Jwt::new(algorithms.iter().copied(), "https://issuer", "api");
    jwt.verifier(KeySet::new([key]).unwrap()).unwrap()
}

fn verify(verifier: &Verifier<Value>, token: &str) -> Result<(), Refused> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    verifier.verify(token, now).map(|_| ())
}

#[test]
fn no_token_of_an_attacker_is_accepted() {
    let key = || Key::pem(P256_PUBLIC).unwrap().id("k1");
    let strict = verifier(&[Algorithm::Es256], key());
    // More algorithms than the key is for must change nothing.
    let loose = verifier(&[Algorithm::Hs256, Algorithm::Es256, Algorithm::Rs256], key());
    let cached = Jwt::new([Algorithm::Es256], "https://issuer", "api").remembered(100);
    let cached = cached.verifier(KeySet::from(key())).unwrap();
    let good = signed(HEADER, CLAIMS);
    let mut attacks = attacks();
    attacks.extend(unknown_keys());
    println!("{} tokens of attackers", attacks.len());
    assert!(attacks.len() >= 80);
    for (name, token) in &attacks {
        for verifier in [&strict, &loose, &cached] {
            assert_eq!(verify(verifier, &good), Ok(()), "before {name}");
            assert!(verify(verifier, token).is_err(), "{name}: {token:.300}");
        }
    }
}

#[test]
fn a_public_rsa_key_is_no_secret() {
    let rsa = verifier(&[Algorithm::Rs256, Algorithm::Hs256], Key::pem(RSA_PUBLIC).unwrap());
    for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","typ":"JWT"}"#] {
        let token = hmac_signed(header, RSA_PUBLIC.as_bytes());
        assert_eq!(verify(&rsa, &token), Err(Refused::UnknownKey(None)));
    }
}

#[test]
fn high_s_is_accepted_as_the_standard_has_it() {
    // RFC 7518 does not ask for the lower one of the two values that s can have, and issuers send
    // either. Nothing may rely on a token's text being the only one for its claims.
    let verifier = verifier(&[Algorithm::Es256], Key::pem(P256_PUBLIC).unwrap());
    for _ in 0..20 {
        assert_eq!(verify(&verifier, &signed(HEADER, CLAIMS)), Ok(()));
    }
}

#[test]
fn a_remembered_token_ends_and_does_not_outlive_its_key() {
    let jwt = Jwt::new([Algorithm::Es256], "https://issuer", "api").remembered(100);
    let key = || Key::pem(P256_PUBLIC).unwrap();
    let verifier = jwt.verifier::<Value>(KeySet::from(key())).unwrap();
    let token = signed(HEADER, CLAIMS);
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    assert!(verifier.verify(&token, at(NOW)).is_ok());
    assert!(verifier.verify(&token, at(NOW + 59)).is_ok());
    assert_eq!(verifier.verify(&token, at(NOW + 60)).err(), Some(Refused::Expired));
    verifier.keys().replace(Key::pem(RSA_PUBLIC).unwrap());
    assert_eq!(
        verifier.verify(&token, at(NOW)).err(),
        Some(Refused::UnknownKey(Some("k1".into())))
    );
    verifier.keys().replace(key());
    assert!(verifier.verify(&token, at(NOW)).is_ok());
}

#[test]
fn a_leeway_is_for_clocks_that_differ() {
    let jwt = Jwt::new([Algorithm::Es256], "https://issuer", "api").leeway(Duration::from_secs(60));
    let verifier = jwt.verifier::<Value>(KeySet::from(Key::pem(P256_PUBLIC).unwrap())).unwrap();
    assert_eq!(verify(&verifier, &with_claim(&format!("\"exp\":{}", NOW - 59))), Ok(()));
    assert_eq!(
        verify(&verifier, &with_claim(&format!("\"exp\":{}", NOW - 60))),
        Err(Refused::Expired)
    );
    assert_eq!(verify(&verifier, &with_claim(&format!("\"nbf\":{}", NOW + 60))), Ok(()));
    assert_eq!(
        verify(&verifier, &with_claim(&format!("\"nbf\":{}", NOW + 61))),
        Err(Refused::TooEarly)
    );
}

#[test]
fn scopes_and_roles_are_the_principals() {
    let verifier =
        verifier(&[Algorithm::Es256], Key::pem(P256_PUBLIC).unwrap()).roles(|claims: &Value| {
            let roles = claims["realm_access"]["roles"].as_array().into_iter().flatten();
            roles.filter_map(Value::as_str).map(str::to_owned).collect()
        });
    let claims = format!(
        r#"{},"scope":"read  write","realm_access":{{"roles":["admin"]}}}}"#,
        &CLAIMS[..CLAIMS.len() - 1]
    );
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let principal = verifier.verify(&signed(HEADER, claims), now).unwrap().principal.unwrap();
    assert_eq!(principal.name(), "ada");
    assert_eq!(principal.all_scopes(), ["read", "write"]);
    assert!(principal.has_role("admin"));
    // A key that signs in the type's own way is understood as well.
    let key = SigningKey::pem(Algorithm::Es256, P256).unwrap();
    let claims: Value = serde_json::from_str(CLAIMS).unwrap();
    let token = key.sign_as("at+jwt", &claims).unwrap();
    assert!(verifier.verify(&token, now).is_ok());
}
