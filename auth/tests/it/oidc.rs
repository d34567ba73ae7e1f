//! Keys that an issuer publishes and tokens that it gives, from an issuer in this process, on a
//! clock that stands still.

use crate::{attacks, call};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use purlin_auth::{
    AuthLayer, Authenticate as _, Credentials,
    jwt::{Algorithm, Jwt, Keys, Refused, SigningKey, Verifier},
    oidc::{ClientCredentials, Issuer, Tokens},
};
use purlin_endpoint::{Code, Context, Error, Inspect};
use purlin_http_client::{HttpClient, connect_fn};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    time::Instant,
};

const SECOND: Duration = Duration::from_secs(1);
const ISSUER: &str = "http://issuer";

/// An issuer, and how often each of its paths was asked for.
#[derive(Clone, Default)]
struct World(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What a path answers: the status, a header, the body.
    answers: HashMap<&'static str, (u16, String, String)>,
    asked: Vec<String>,
    away: bool,
    delay: Duration,
}

impl World {
    /// An issuer with a configuration, and a key of the NIST's curve by this name.
    fn new(kid: &str) -> Self {
        let world = Self::default();
        let configuration = json!({ "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/jwks") });
        world.answer("/.well-known/openid-configuration", 200, "", &configuration.to_string());
        world.publish(kid);
        world
    }

    fn publish(&self, kid: &str) {
        self.answer("/jwks", 200, "cache-control: max-age=300\r\n", &jwks(kid));
    }

    fn answer(&self, path: &'static str, status: u16, header: &str, body: &str) {
        let answer = (status, header.to_owned(), body.to_owned());
        self.0.lock().unwrap().answers.insert(path, answer);
    }

    fn away(&self, away: bool) {
        self.0.lock().unwrap().away = away;
    }

    fn asked(&self, path: &str) -> usize {
        self.0.lock().unwrap().asked.iter().filter(|asked| asked.starts_with(path)).count()
    }

    /// A client whose connections all end here. Each is good for one request.
    fn client(&self) -> HttpClient {
        let world = self.clone();
        HttpClient::over(connect_fn(move |_| {
            let world = world.clone();
            async move {
                if world.0.lock().unwrap().away {
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                let (near, far) = duplex(64 * 1024);
                tokio::spawn(world.serve(far));
                Ok(near)
            }
        }))
    }

    async fn serve(self, mut io: DuplexStream) -> io::Result<()> {
        let mut request = Vec::new();
        while !is_whole(&request) {
            io.read_buf(&mut request).await?;
        }
        let request = String::from_utf8(request).unwrap();
        let path = request.split(' ').nth(1).unwrap().to_owned();
        let (answer, delay) = {
            let mut state = self.0.lock().unwrap();
            let known = state.answers.get(&*path).cloned();
            let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
            state.asked.push(format!("{path} {body}"));
            (known.unwrap_or((404, String::new(), String::new())), state.delay)
        };
        // sleeps: the clock stands still, and this is an issuer that takes its time.
        tokio::time::sleep(delay).await;
        let (status, header, body) = answer;
        let head = format!("HTTP/1.1 {status} X\r\n{header}connection: close\r\ncontent-length: ");
        io.write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes()).await
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

/// The public key of the attacks under this name, as a document.
fn jwks(kid: &str) -> String {
    let pem: String =
        crate::keys::P256_PUBLIC.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(pem).unwrap();
    let point = &der[der.len() - 64..];
    let [x, y] = [&point[..32], &point[32..]].map(|part| URL_SAFE_NO_PAD.encode(part));
    json!({ "keys": [
        { "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": x, "y": y },
        { "kty": "EC", "crv": "P-521", "use": "sig", "alg": "ES512", "kid": "p521", "x": x, "y": y },
        { "kty": "RSA", "use": "enc", "kid": "enc", "n": "AQAB", "e": "AQAB" },
    ]})
    .to_string()
}

fn token(kid: &str, lasts: u64) -> Context {
    let key = SigningKey::pem(Algorithm::Es256, crate::keys::P256).unwrap().id(kid);
    let claims = json!({ "iss": ISSUER, "aud": "api", "sub": "ada", "exp": attacks::NOW + lasts });
    Context::new().with(Credentials::bearer(&key.sign(&claims).unwrap()))
}

type Layer = AuthLayer<Verifier<Value>>;

/// A layer whose wall clock goes with tokio's.
fn layer(keys: &Keys) -> Layer {
    let began = Instant::now();
    let clock =
        move || SystemTime::UNIX_EPOCH + Duration::from_secs(attacks::NOW) + began.elapsed();
    let jwt = Jwt::new([Algorithm::Es256], ISSUER, "api");
    jwt.verifier(keys.clone()).unwrap().clock(clock).layer()
}

fn issuer() -> Issuer {
    Issuer::new(ISSUER).without_tls()
}

fn start(world: &World) -> (Keys, Arc<Mutex<Vec<String>>>) {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let tell = told.clone();
    let tell = move |why: &Error| tell.lock().unwrap().push(format!("{why:#}"));
    (issuer().start(world.client(), tell).unwrap(), told)
}

fn why(outcome: Result<Context, Error>) -> Refused {
    outcome.expect_err("a refusal").find::<Refused>().expect("a reason").clone()
}

#[tokio::test(start_paused = true)]
async fn keys_are_found_by_discovery_and_fetched_once_for_all_calls_that_wait() {
    let world = World::new("k1");
    world.0.lock().unwrap().delay = SECOND;
    let layer = layer(&start(&world).0);
    let calls = (0..100).map(|_| call(&layer, token("k1", 600)));
    for outcome in futures_util::future::join_all(calls).await {
        outcome.unwrap();
    }
    assert_eq!((world.asked("/.well-known"), world.asked("/jwks")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_rotated_key_is_fetched_by_the_first_token_that_names_it() {
    let world = World::new("k1");
    let layer = layer(&start(&world).0);
    call(&layer, token("k1", 600)).await.unwrap();
    for round in 2..10 {
        let kid = format!("k{round}");
        world.publish(&kid);
        // Calls with the new key come at once, and at the same time. None is refused.
        let calls = (0..50).map(|_| call(&layer, token(&kid, 600)));
        for outcome in futures_util::future::join_all(calls).await {
            outcome.unwrap();
        }
        assert_eq!(world.asked("/jwks"), round);
    }
    assert_eq!(why(call(&layer, token("k1", 600)).await), Refused::UnknownKey(Some("k1".into())));
}

#[tokio::test(start_paused = true)]
async fn made_up_keys_make_us_ask_no_more_often_than_every_interval() {
    let world = World::new("k1");
    let layer = layer(&start(&world).0);
    call(&layer, token("k1", 9000)).await.unwrap();
    let began = Instant::now();
    for n in 0..50 {
        let unknown = call(&layer, token(&format!("made-up-{n}"), 9000));
        let (unknown, known) = tokio::join!(unknown, call(&layer, token("k1", 9000)));
        assert_eq!(why(unknown), Refused::UnknownKey(Some(format!("made-up-{n}"))));
        known.unwrap();
    }
    let intervals = began.elapsed().as_secs() / 5;
    let asked = world.asked("/jwks") as u64;
    // Once at the start, and once every 270 s besides.
    assert!(asked <= intervals + 3, "{asked} in {intervals} intervals");
}

#[tokio::test(start_paused = true)]
async fn no_token_of_an_attacker_is_accepted_or_makes_us_ask_anybody() {
    let world = World::new("k1");
    let layer = layer(&start(&world).0);
    call(&layer, token("k1", 600)).await.unwrap();
    let before = world.0.lock().unwrap().asked.len();
    for (name, token) in attacks::attacks() {
        let outcome = call(&layer, Context::new().with(Credentials::bearer(&token))).await;
        assert!(outcome.is_err(), "{name}");
    }
    assert_eq!(world.0.lock().unwrap().asked.len(), before);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_away_for_ten_minutes_is_not_missed() {
    let world = World::new("k1");
    let (keys, told) = start(&world);
    let layer = layer(&keys);
    call(&layer, token("k1", 60)).await.unwrap();
    world.away(true);
    for second in 0..600 {
        call(&layer, token("k1", second + 60)).await.unwrap();
        tokio::time::advance(SECOND).await;
    }
    assert!(!told.lock().unwrap().is_empty());
    assert!(told.lock().unwrap().iter().all(|why| why.contains("could not connect to issuer")));
    // When it is back, with another key, that one is accepted.
    world.publish("k2");
    world.away(false);
    call(&layer, token("k2", 2000)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn keys_are_kept_as_long_as_was_said_and_no_longer() {
    let world = World::new("k1");
    let issuer = issuer().kept(Duration::from_secs(3600));
    let layer = layer(&issuer.start(world.client(), |_| ()).unwrap());
    call(&layer, token("k1", 60)).await.unwrap();
    world.away(true);
    // sleeps: the clock stands still.
    tokio::time::sleep(3599 * SECOND).await;
    call(&layer, token("k1", 9000)).await.unwrap();
    // sleeps: the clock stands still.
    tokio::time::sleep(2 * SECOND).await;
    let error = call(&layer, token("k1", 9000)).await.err().unwrap();
    assert_eq!(error.code(), Code::Unavailable);
    // When the issuer is back, so are its keys, which are the same.
    world.away(false);
    // sleeps: the clock stands still.
    tokio::time::sleep(61 * SECOND).await;
    call(&layer, token("k1", 9000)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_keys_a_call_waits_and_is_then_not_blamed() {
    let world = World::new("k1");
    world.away(true);
    let layer = layer(&start(&world).0);
    let began = Instant::now();
    let error = call(&layer, token("k1", 60)).await.err().unwrap();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(began.elapsed() <= 10 * SECOND);
    // It waits no longer than it has.
    let began = Instant::now();
    let hasty = token("k1", 60).with_timeout(SECOND / 2);
    assert!(call(&layer, hasty).await.is_err() && began.elapsed() <= SECOND);
    // What is no token at all does not wait.
    let began = Instant::now();
    let nothing = call(&layer, Context::new()).await.err().unwrap();
    assert_eq!((nothing.code(), began.elapsed()), (Code::Unauthenticated, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_document_that_is_no_good_changes_nothing() {
    let world = World::new("k1");
    let (keys, told) = start(&world);
    let layer = layer(&keys);
    call(&layer, token("k1", 99_999)).await.unwrap();
    let secret = r#"{"keys":[{"kty":"oct","alg":"HS256","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}]}"#;
    let twice = format!("{{\"keys\":[],{}", &jwks("k2")[1..]);
    let huge = format!("{{\"a\":\"{}\"}}", "a".repeat(300_000));
    let bad = [
        (500, ""),
        (200, ""),
        (200, "{}"),
        (200, "[]"),
        (200, r#"{"keys":[]}"#),
        (200, "<html>"),
        (200, r#"{"keys":{}}"#),
        (200, secret),
        (200, &twice),
        (200, &huge),
        (302, ""),
    ];
    for (status, body) in bad {
        let failures = told.lock().unwrap().len();
        world.answer("/jwks", status, "", body);
        // Somebody asks, so that it is fetched now.
        assert!(call(&layer, token("k2", 99_999)).await.is_err(), "{status} {body:.50}");
        assert!(told.lock().unwrap().len() > failures, "{status} {body:.50}");
        call(&layer, token("k1", 99_999)).await.unwrap();
    }
    world.publish("k2");
    call(&layer, token("k2", 99_999)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_configuration_of_another_issuer_is_not_believed() {
    let world = World::new("k1");
    let other = json!({ "issuer": "http://evil", "jwks_uri": format!("{ISSUER}/jwks") });
    world.answer("/.well-known/openid-configuration", 200, "", &other.to_string());
    let (keys, told) = start(&world);
    assert!(call(&layer(&keys), token("k1", 60)).await.is_err());
    assert_eq!(world.asked("/jwks"), 0);
    assert!(told.lock().unwrap()[0].contains("is the configuration of"));
}

#[tokio::test]
async fn without_tls_nothing_is_fetched_unless_that_was_asked_for() {
    let start = |issuer: Issuer| issuer.start(HttpClient::new(), |_| ()).err().map(|why| why.field);
    assert_eq!(start(Issuer::new("http://a")), Some("issuer"));
    assert_eq!(start(Issuer::new("")), Some("issuer"));
    assert_eq!(start(Issuer::new("https://a").jwks("http://a/jwks")), Some("jwks"));
    assert_eq!(start(Issuer::new("https://a").kept(Duration::ZERO)), Some("kept"));
    assert_eq!(start(Issuer::new("https://a").interval(11 * SECOND)), Some("interval"));
    let tokens = ClientCredentials::new("http://a/token", "id", "secret");
    assert_eq!(tokens.start(HttpClient::new(), |_| ()).err().unwrap().field, "url");
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_last_who_uses_the_keys() {
    let world = World::new("k1");
    let (keys, _) = start(&world);
    let layer = layer(&keys);
    call(&layer, token("k1", 60)).await.unwrap();
    drop(keys);
    // sleeps: the clock stands still.
    tokio::time::sleep(300 * SECOND).await;
    assert_eq!(world.asked("/jwks"), 2);
    drop(layer);
    // sleeps: the clock stands still.
    tokio::time::sleep(3000 * SECOND).await;
    assert_eq!(world.asked("/jwks"), 2);
}

fn tokens(world: &World) -> Tokens {
    let client = ClientCredentials::new(format!("{ISSUER}/token"), "my id", "sec:ret");
    let client = client.scope("read write").parameter("resource", "urn:api").without_tls();
    client.start(world.client(), |_| ()).unwrap()
}

fn grant(world: &World, token: &str) {
    let answer = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 100 });
    world.answer("/token", 200, "", &answer.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_fetched_once_for_all_calls_and_again_before_its_end() {
    let world = World::default();
    grant(&world, "first");
    let layer = tokens(&world).layer();
    for outcome in
        futures_util::future::join_all((0..50).map(|_| call(&layer, Context::new()))).await
    {
        assert_eq!(outcome.unwrap().get(), Some(&Credentials::bearer("first")));
    }
    let form = "/token grant_type=client_credentials&scope=read+write&resource=urn%3Aapi";
    assert_eq!((world.asked("/token"), world.asked(form)), (1, 1));
    grant(&world, "second");
    // sleeps: the clock stands still.
    tokio::time::sleep(79 * SECOND).await;
    assert_eq!(world.asked("/token"), 1);
    // sleeps: the clock stands still.
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(world.asked("/token"), 2);
    let context = call(&layer, Context::new()).await.unwrap();
    assert_eq!(context.get(), Some(&Credentials::bearer("second")));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_used_until_its_end_while_its_issuer_is_away() {
    let world = World::default();
    grant(&world, "first");
    let layer = tokens(&world).layer();
    call(&layer, Context::new()).await.unwrap();
    world.away(true);
    // sleeps: the clock stands still.
    tokio::time::sleep(99 * SECOND).await;
    call(&layer, Context::new()).await.unwrap();
    // sleeps: the clock stands still.
    tokio::time::sleep(2 * SECOND).await;
    let error = call(&layer, Context::new()).await.err().unwrap();
    assert_eq!(error.code(), Code::Unavailable);
    world.away(false);
    grant(&world, "second");
    let context = call(&layer, Context::new()).await.unwrap();
    assert_eq!(context.get(), Some(&Credentials::bearer("second")));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_bearer_token_is_not_shown() {
    let world = World::default();
    let layer = tokens(&world).layer();
    for (status, answer) in [
        (400, r#"{"error":"invalid_client"}"#),
        (200, "{}"),
        (200, r#"{"access_token":"a","token_type":"DPoP","expires_in":1}"#),
        (200, ""),
    ] {
        world.answer("/token", status, "", answer);
        let error = call(&layer, Context::new()).await.err().unwrap();
        assert_eq!(error.code(), Code::Unavailable, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_token_endpoint_is_found_by_discovery_and_again_where_no_token_is_had() {
    let world = World::new("k1");
    let configure = |path: &str| {
        let endpoint = format!("{ISSUER}{path}");
        let configuration =
            json!({ "issuer": ISSUER, "jwks_uri": "none", "token_endpoint": endpoint });
        world.answer("/.well-known/openid-configuration", 200, "", &configuration.to_string());
    };
    configure("/token");
    grant(&world, "first");
    let client = ClientCredentials::at(ISSUER, "svc", "secret");
    assert!(client.clone().start(world.client(), |_| ()).is_err(), "it is not asked over TLS");
    let layer = client.without_tls().start(world.client(), |_| ()).unwrap().layer();
    let context = call(&layer, Context::new()).await.unwrap();
    assert_eq!(context.get(), Some(&Credentials::bearer("first")));
    // sleeps: the clock stands still.
    tokio::time::sleep(81 * SECOND).await;
    assert_eq!((world.asked("/.well-known"), world.asked("/token")), (1, 2));
    world.answer("/token", 404, "", "");
    configure("/moved");
    let answer = json!({ "access_token": "moved", "token_type": "Bearer", "expires_in": 100 });
    world.answer("/moved", 200, "", &answer.to_string());
    // sleeps: the clock stands still.
    tokio::time::sleep(90 * SECOND).await;
    let context = call(&layer, Context::new()).await.unwrap();
    assert_eq!(context.get(), Some(&Credentials::bearer("moved")));
}

#[tokio::test(start_paused = true)]
async fn an_issuer_without_a_token_endpoint_is_said_to_have_none() {
    let world = World::new("k1");
    let client = ClientCredentials::at(ISSUER, "svc", "secret").without_tls();
    let layer = client.start(world.client(), |_| ()).unwrap().layer();
    let error = call(&layer, Context::new()).await.err().unwrap();
    assert_eq!(error.code(), Code::Unavailable);
    let shown = shown(&layer.handle());
    assert_eq!((&shown["undecided"], &shown["verifier"]["token"]), (&json!(1), &json!(false)));
    let trouble = shown["verifier"]["fetching"]["trouble"].as_str().unwrap();
    assert!(trouble.contains("http://issuer names no token endpoint"), "{trouble}");
}

fn shown(handle: &impl Inspect) -> Value {
    serde_json::from_str(&handle.snapshot()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_handle_shows_the_keys_with_their_ages_and_how_fetching_goes() {
    let world = World::new("k1");
    let keys = issuer().start(world.client(), |_| ()).unwrap();
    let jwt = Jwt::new([Algorithm::Es256, Algorithm::Rs256], ISSUER, "api").remembered(100);
    let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(attacks::NOW);
    let layer = jwt.verifier::<Value>(keys).unwrap().clock(clock).layer();
    let handle = layer.handle();
    assert_eq!(handle.name(), "jwt");
    let fetching = json!({ "age_s": null, "failures": 0, "trouble": null });
    let verifier = json!({
        "issuer": ISSUER, "audiences": ["api"], "algorithms": ["ES256", "RS256"],
        "keys": null, "fetching": fetching, "remembered": 0,
    });
    let nothing = json!({ "accepted": 0, "refused": 0, "undecided": 0, "verifier": verifier });
    assert_eq!(shown(&handle), nothing);

    call(&layer, token("k1", 600)).await.unwrap();
    tokio::time::advance(7 * SECOND).await;
    world.publish("k2");
    call(&layer, token("k2", 600)).await.unwrap();
    // Both are published.
    let [mut both, k1]: [Value; 2] = ["k2", "k1"].map(|kid| jwks(kid).parse().unwrap());
    both["keys"].as_array_mut().unwrap().push(k1["keys"][0].clone());
    world.answer("/jwks", 200, "", &both.to_string());
    tokio::time::advance(3 * SECOND).await;
    call(&layer, Context::new()).await.err().unwrap();
    assert_eq!((handle.accepted(), handle.refused(), handle.undecided()), (2, 1, 0));
    let state = &shown(&handle)["verifier"];
    assert_eq!(state["keys"], json!([{ "key": "k2", "algorithms": ["ES256"], "age_s": 3 }]));
    assert_eq!((&state["fetching"]["age_s"], &state["remembered"]), (&json!(3), &json!(2)));

    // sleeps: the clock stands still.
    tokio::time::sleep(280 * SECOND).await;
    let keys = shown(&handle)["verifier"]["keys"].clone();
    let ages: Vec<_> = keys.as_array().unwrap().iter().map(|key| &key["age_s"]).collect();
    // What has stayed is as old as it is, and what was away is new again.
    assert!(ages[0].as_u64() == Some(283) && ages[1].as_u64() < Some(280), "{keys}");

    world.away(true);
    // sleeps: the clock stands still.
    tokio::time::sleep(400 * SECOND).await;
    let fetching = &shown(&handle)["verifier"]["fetching"];
    assert!(fetching["failures"].as_u64() > Some(1), "{fetching}");
    assert!(fetching["trouble"].as_str().unwrap().contains("could not connect"), "{fetching}");
}
