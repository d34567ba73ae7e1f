//! What it costs to find out who calls: nanoseconds beside the bare signature check, and whether
//! the instructions of a password check tell who exists.
//!
//! Run with `cargo bench -p purlin-bench --bench auth`. The counts need valgrind.

use std::error::Error;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use purlin_auth::basic::Hashes;
use purlin_auth::jwt::{Algorithm, Jwt, Key, KeySet, SigningKey, Verifier};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use ring::{hmac, rand::SystemRandom};
use serde::Deserialize;
use serde_json::json;

/// What a program wants to know of a token.
#[derive(Deserialize)]
#[allow(dead_code, reason = "reading them is what costs")]
struct Claims {
    sub: String,
    iss: String,
    aud: String,
    exp: u64,
    scope: String,
}

const SECRET: &[u8] = &[7; 32];

/// How often one row is measured; the median counts. A round is short, so that most of them are not
/// interrupted on a machine that does other things.
const ROUNDS: usize = 501;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, check, hash, user, password] = &arguments[..]
        && check == "check-password"
    {
        let users = Hashes::new().user("test-user", hash, [""; 0])?;
        black_box(counted_check(&users, user, password));
        return Ok(());
    }
    // `cargo test --all-targets` runs this too, and has no use for timings.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    hs256()?;
    es256()?;
    garbage()?;
    passwords()
}

/// The median time of one call.
fn row(name: &str, calls: u32, mut call: impl FnMut()) -> Duration {
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            (0..calls).for_each(|_| call());
            began.elapsed() / calls
        })
        .collect();
    rounds.sort_unstable();
    let median = rounds[ROUNDS / 2];
    println!("{name:<40} {:>9} ns", median.as_nanos());
    median
}

fn claims() -> serde_json::Value {
    json!({
        "sub": "ada", "iss": "https://issuer.example", "aud": "greeter",
        "exp": 4_000_000_000_u64, "scope": "read write",
    })
}

fn jwt(algorithm: Algorithm) -> Jwt {
    Jwt::new([algorithm], "https://issuer.example", "greeter")
}

/// A token's signed part and its signature.
type Parts<'a> = (&'a [u8], Vec<u8>);

fn parts(token: &str) -> Result<Parts<'_>, Box<dyn Error>> {
    let (signed, signature) = token.rsplit_once('.').ok_or("no token")?;
    Ok((signed.as_bytes(), URL_SAFE_NO_PAD.decode(signature)?))
}

fn hs256() -> Result<(), Box<dyn Error>> {
    let token = SigningKey::secret(Algorithm::Hs256, SECRET)?.sign(&claims())?;
    let (signed, signature) = parts(&token)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    row("HS256, ring alone", 100, || {
        hmac::verify(&key, black_box(signed), &signature).expect("it is right");
    });
    let keys = || Key::secret(SECRET).map(KeySet::from);
    let verifier: Verifier<Claims> = jwt(Algorithm::Hs256).verifier(keys()?)?;
    let now = SystemTime::now();
    row("HS256, verified with its claims", 100, || {
        assert!(verifier.verify(black_box(&token), now).is_ok());
    });
    let verifier: Verifier<Claims> = jwt(Algorithm::Hs256).remembered(1000).verifier(keys()?)?;
    row("HS256, remembered", 100, || {
        assert!(verifier.verify(black_box(&token), now).is_ok());
    });
    Ok(())
}

fn es256() -> Result<(), Box<dyn Error>> {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
    let pkcs8 = pkcs8.map_err(|_| "no random numbers")?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
    let pair = pair.map_err(|_| "no key")?;
    let point = pair.public_key().as_ref().to_vec();
    let pem = STANDARD.encode(pkcs8.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n");
    let token = SigningKey::pem(Algorithm::Es256, &pem)?.sign(&claims())?;
    let (signed, signature) = parts(&token)?;
    let [x, y] = [&point[1..33], &point[33..]].map(|part| URL_SAFE_NO_PAD.encode(part));
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }).to_string();
    let verifier: Verifier<Claims> =
        jwt(Algorithm::Es256).verifier(KeySet::from(Key::jwk(&jwk)?))?;
    let now = SystemTime::now();
    let bare = row("ES256, ring alone", 3, || {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, black_box(&point));
        key.verify(signed, &signature).expect("it is right");
    });
    let ours = row("ES256, verified with its claims", 3, || {
        assert!(verifier.verify(black_box(&token), now).is_ok());
    });
    println!("{:<40} {:>9.3}", "ES256, ratio", ours.as_secs_f64() / bare.as_secs_f64());
    Ok(())
}

fn garbage() -> Result<(), Box<dyn Error>> {
    let verifier: Verifier<Claims> =
        jwt(Algorithm::Hs256).verifier(KeySet::from(Key::secret(SECRET)?))?;
    let token = SigningKey::secret(Algorithm::Hs256, SECRET)?.sign(&claims())?;
    let now = SystemTime::now();
    let refused = |name: &str, token: &str| {
        row(name, 50, || assert!(verifier.verify(black_box(token), now).is_err()));
    };
    refused("refused: 8 KiB of noise", &"a".repeat(8192));
    refused("refused: no parts", "garbage");
    refused("refused: noise in three parts", &format!("{0}.{0}.{0}", "x".repeat(300)));
    refused("refused: a wrong signature", &format!("{}AAAA", &token[..token.len() - 4]));
    Ok(())
}

/// One check of a password: callgrind counts what happens in here.
#[inline(never)]
fn counted_check(users: &Hashes, user: &str, password: &str) -> bool {
    black_box(users).check(black_box(user), black_box(password)).is_some()
}

/// The instructions of the check alone, by callgrind.
fn passwords() -> Result<(), Box<dyn Error>> {
    let hash = Hashes::hash("test-pass-word")?;
    let mut counts = Vec::new();
    for (name, user, password) in [
        ("the right password", "test-user", "test-pass-word"),
        ("a wrong password, early", "test-user", "Xest-pass-word"),
        ("a wrong password, late", "test-user", "test-pass-worX"),
        ("an unknown user", "Xest-user", "test-pass-word"),
        ("an unknown user, late", "test-useX", "test-pass-word"),
    ] {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        valgrind.arg("--toggle-collect=*counted_check*").arg(std::env::current_exe()?);
        let output = valgrind.args(["check-password", &hash, user, password]).output()?;
        let report = String::from_utf8_lossy(&output.stderr).into_owned();
        let collected = report.lines().find_map(|line| line.split("Collected : ").nth(1));
        let count: u64 = collected.ok_or(report.clone())?.trim().parse()?;
        println!("{name:<40} {count:>9} instructions");
        counts.push(count);
    }
    let (least, most) = (counts.iter().min(), counts.iter().max());
    let (least, most) = (*least.ok_or("none")?, *most.ok_or("none")?);
    #[allow(clippy::cast_precision_loss, reason = "a share is enough")]
    let apart = (most - least) as f64 / least as f64;
    println!("{:<40} {:>9.5} %", "apart", apart * 100.0);
    if least < 1_000_000 || apart > 0.0001 {
        return Err("a password check tells by its instructions whether the user exists".into());
    }
    Ok(())
}
