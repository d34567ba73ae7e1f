//! What it costs to find out who calls and what they may: nanoseconds beside the bare signature
//! check and beside an envelope by hand, and whether the instructions of a password check tell who
//! exists.
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
use purlin_auth::rbac::{Policy, Rbac, Role};
use purlin_auth::{Principal, Scheme};
use purlin_endpoint::{Context, Method};
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

/// How often one row is measured. A round is short, so that some are not interrupted on a machine
/// that does other things; those count.
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
    rbac()?;
    passwords()
}

/// What a row is called, and the call that it measures.
type Row<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// The time of one call of each row in the quickest tenth of the rounds. They take turns, so that
/// what else the machine does slows all of them alike.
fn measure(calls: u32, mut rows: Vec<Row<'_>>) -> Vec<Duration> {
    let mut rounds = vec![Vec::with_capacity(ROUNDS); rows.len()];
    for _ in 0..ROUNDS {
        for ((_, call), rounds) in rows.iter_mut().zip(&mut rounds) {
            // What the row before has pushed out of the caches comes back.
            call();
            let began = Instant::now();
            (0..calls).for_each(|_| call());
            rounds.push(began.elapsed() / calls);
        }
    }
    let times = rows.iter().zip(rounds).map(|((name, _), mut rounds)| {
        rounds.sort_unstable();
        let time = rounds[ROUNDS / 10];
        println!("{name:<40} {:>9} ns", time.as_nanos());
        time
    });
    times.collect()
}

fn ratio(name: &str, ours: Duration, other: Duration) {
    println!("{name:<40} {:>9.3}", ours.as_secs_f64() / other.as_secs_f64());
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

#[derive(Deserialize)]
struct Header<'a> {
    alg: &'a str,
}

/// What is least for a token to be verified at all: the envelope that somebody writes who needs one.
fn by_hand(key: &hmac::Key, token: &str, now: u64) -> Option<Claims> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let header = URL_SAFE_NO_PAD.decode(header).ok()?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    if serde_json::from_slice::<Header<'_>>(&header).ok()?.alg != "HS256" {
        return None;
    }
    hmac::verify(key, signed.as_bytes(), &signature).ok()?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    let good = claims.iss == "https://issuer.example" && claims.aud == "greeter";
    (good && claims.exp > now).then_some(claims)
}

fn hs256() -> Result<(), Box<dyn Error>> {
    let token = &*SigningKey::secret(Algorithm::Hs256, SECRET)?.sign(&claims())?;
    let (signed, signature) = parts(token)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let keys = || Key::secret(SECRET).map(KeySet::from);
    let jwt = jwt(Algorithm::Hs256);
    let verifier: Verifier<Claims> = jwt.clone().verifier(keys()?)?;
    let remembering: Verifier<Claims> = jwt.remembered(1000).verifier(keys()?)?;
    let now = SystemTime::now();
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let alone = || hmac::verify(&key, black_box(signed), &signature).expect("it is right");
    let times = measure(
        100,
        vec![
            ("HS256, ring alone", Box::new(alone)),
            (
                "HS256, an envelope by hand on ring",
                Box::new(|| assert!(by_hand(&key, black_box(token), seconds).is_some())),
            ),
            (
                "HS256, verified with its claims",
                Box::new(|| assert!(verifier.verify(black_box(token), now).is_ok())),
            ),
            (
                "HS256, remembered",
                Box::new(|| assert!(remembering.verify(black_box(token), now).is_ok())),
            ),
        ],
    );
    ratio("HS256, ratio to the envelope by hand", times[2], times[1]);
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
    let alone = || {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, black_box(&point));
        key.verify(signed, &signature).expect("it is right");
    };
    let ours = || assert!(verifier.verify(black_box(&token), now).is_ok());
    let rows: Vec<Row<'_>> = vec![
        ("ES256, ring alone", Box::new(alone)),
        ("ES256, verified with its claims", Box::new(ours)),
    ];
    let times = measure(3, rows);
    ratio("ES256, ratio to ring alone", times[1], times[0]);
    Ok(())
}

fn garbage() -> Result<(), Box<dyn Error>> {
    let verifier: Verifier<Claims> =
        jwt(Algorithm::Hs256).verifier(KeySet::from(Key::secret(SECRET)?))?;
    let token = SigningKey::secret(Algorithm::Hs256, SECRET)?.sign(&claims())?;
    let now = SystemTime::now();
    let garbage = [
        ("refused: 8 KiB of noise", "a".repeat(8192)),
        ("refused: no parts", "garbage".to_owned()),
        ("refused: noise in three parts", format!("{0}.{0}.{0}", "x".repeat(300))),
        ("refused: a wrong signature", format!("{}AAAA", &token[..token.len() - 4])),
    ];
    let verifier = &verifier;
    let rows = garbage.iter().map(|(name, token)| {
        let refused = move || assert!(verifier.verify(black_box(token), now).is_err());
        (*name, Box::new(refused) as _)
    });
    measure(50, rows.collect());
    Ok(())
}

static INHERITED: Method = Method::unary("acme.area01.Records", "Get3");
static DENIED: Method = Method::unary("acme.area01.Records", "Purge");
static UNNAMED: Method = Method::unary("acme.area49.Records", "Put3");

/// 1,000 rules: fifty areas with a role for reading, one for writing and one for everything.
fn policy() -> Policy {
    (0..50).fold(Policy::new(), |policy, area| {
        let [reader, writer] = ["Get", "Put"].map(|verb| {
            let rule = |role: Role, n| role.allow(format!("acme.area{area:02}.Records/{verb}{n}"));
            (0..8).fold(Role::new(), rule)
        });
        let writer = writer.inherits(format!("reader{area:02}"));
        let admin = Role::new()
            .inherits(format!("writer{area:02}"))
            .allow(format!("acme.area{area:02}.**"))
            .deny(format!("acme.area{area:02}.*/Purge"))
            .deny("acme.*.Debug/*");
        policy
            .role(format!("reader{area:02}"), reader)
            .role(format!("writer{area:02}"), writer.allow(format!("acme.area{area:02}.*/List")))
            .role(format!("admin{area:02}"), admin)
    })
}

fn rbac() -> Result<(), Box<dyn Error>> {
    let many = (2..11).map(|area| format!("writer{area:02}")).chain(["admin01".to_owned()]);
    let policy = policy().subject("authenticated", ["reader00"]).subject("jwt:ada", many);
    let handle = Rbac::new(policy).layer()?.handle();
    let bob = |method| {
        let caller = Principal::new(Scheme::Jwt, "bob").roles(["admin01"]);
        Context::new().with_method(method).with(caller)
    };
    let ada = |method| Context::new().with_method(method).with(Principal::new(Scheme::Jwt, "ada"));
    let calls = [
        ("RBAC among 1,000 rules: 2 roles, allowed", bob(&INHERITED), true),
        ("RBAC: 2 roles, denied by a rule", bob(&DENIED), false),
        ("RBAC: 2 roles, named by none", bob(&UNNAMED), false),
        ("RBAC: 11 roles, allowed", ada(&INHERITED), true),
        ("RBAC: 11 roles, denied by a rule", ada(&DENIED), false),
    ];
    let handle = &handle;
    let rows = calls.iter().map(|(name, context, allowed)| {
        let decide = move || assert_eq!(handle.explain(black_box(context)).is_allowed(), *allowed);
        (*name, Box::new(decide) as _)
    });
    measure(100, rows.collect());
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
