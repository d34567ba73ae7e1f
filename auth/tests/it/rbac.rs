use proptest::prelude::*;
use purlin_auth::{
    Denied, Principal, Scheme,
    rbac::{Policy, Rbac, RbacLayer, Role},
};
use purlin_endpoint::{
    Code, Context, Endpoint as _, Error, Identity, Inspect as _, Method, conformance, endpoint_fn,
};
use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::sleep;
use tower::{Layer as _, ServiceBuilder};

static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");
static RESET: Method = Method::unary("greeter.Greeter", "Reset");
static NESTED: Method = Method::unary("greeter.v2.Greeter", "Greeting");
static FOREIGN: Method = Method::unary("billing.Billing", "Pay");
static PLAIN: Method = Method::unary("greeter", "Greeting");

const ALL: [&Method; 5] = [&GREETING, &RESET, &NESTED, &FOREIGN, &PLAIN];

fn layer(policy: Policy) -> RbacLayer {
    Rbac::new(policy).layer().unwrap()
}

fn anyone(role: Role) -> Policy {
    Policy::new().role("role", role).subject("anyone", ["role"])
}

fn call(method: &'static Method) -> Context {
    Context::new().with_method(method)
}

fn user(method: &'static Method, name: &str) -> Context {
    call(method).with(Principal::new(Scheme::Basic, name))
}

/// The methods that a policy lets this caller call.
fn allowed(policy: Policy, who: impl Fn(Context) -> Context) -> Vec<String> {
    let handle = layer(policy).handle();
    let may = |method: &&&'static Method| handle.explain(&who(call(method))).is_allowed();
    ALL.iter().filter(may).map(ToString::to_string).collect()
}

#[tokio::test]
async fn the_layer_keeps_the_rules_of_all_layers() {
    conformance::check(|| layer(anyone(Role::new().allow("**")))).await;
    conformance::check_refusing(|| layer(Policy::new())).await;
}

#[test]
fn an_empty_policy_allows_nothing() {
    assert_eq!(allowed(Policy::new(), |it| it), [""; 0]);
    assert_eq!(allowed(Policy::parse("{}").unwrap(), |it| it), [""; 0]);
    assert_eq!(allowed(anyone(Role::new()), |it| it), [""; 0]);
}

#[test]
fn a_pattern_names_methods_by_segments() {
    let named = |pattern: &str| allowed(anyone(Role::new().allow(pattern)), |it| it);
    assert_eq!(named("greeter.Greeter/Greeting"), ["greeter.Greeter/Greeting"]);
    assert_eq!(named("greeter.Greeter/*"), ["greeter.Greeter/Greeting", "greeter.Greeter/Reset"]);
    assert_eq!(named("*.Greeter/Reset"), ["greeter.Greeter/Reset"]);
    assert_eq!(named("greeter.*.Greeter/*"), ["greeter.v2.Greeter/Greeting"]);
    assert_eq!(named("greeter/*"), ["greeter/Greeting"]);
    assert_eq!(named("**").len(), ALL.len());
    let below =
        ["greeter.Greeter/Greeting", "greeter.Greeter/Reset", "greeter.v2.Greeter/Greeting"];
    assert_eq!(named("greeter.**"), below);
    assert_eq!(named("greeter.Greeter/greeting"), [""; 0]);
    assert_eq!(named("Greeter/Greeting"), [""; 0]);
}

#[test]
fn what_denies_beats_what_allows_whatever_role_it_is_of() {
    let policy = Policy::new()
        .role("all", Role::new().allow("**"))
        .role("careful", Role::new().deny("*.Greeter/Reset"))
        .subject("anyone", ["all", "careful"]);
    assert!(!allowed(policy.clone(), |it| it).contains(&RESET.to_string()));
    let decision = layer(policy).handle().explain(&call(&RESET));
    assert_eq!((decision.rule(), decision.role()), (Some("*.Greeter/Reset"), Some("careful")));
    let why = "`*.Greeter/Reset` of role `careful` denies greeter.Greeter/Reset";
    assert_eq!(decision.to_string(), why);
}

#[test]
fn a_role_has_the_rules_of_those_that_it_inherits() {
    let policy = Policy::new()
        .role("reader", Role::new().allow("greeter.Greeter/Greeting"))
        .role("writer", Role::new().inherits("reader").allow("greeter.Greeter/Reset"))
        .role("admin", Role::new().inherits("writer").inherits("reader"))
        .subject("basic:ann", ["admin"]);
    let handle = layer(policy).handle();
    assert!(handle.explain(&user(&GREETING, "ann")).is_allowed());
    assert_eq!(handle.explain(&user(&RESET, "ann")).role(), Some("writer"));
    assert!(!handle.explain(&user(&RESET, "bob")).is_allowed());
}

#[test]
fn subjects_are_told_apart_by_how_they_proved_who_they_are() {
    let policy = |subject: &str| {
        Policy::new().role("role", Role::new().allow("**")).subject(subject, ["role"])
    };
    let basic = |it: Context| it.with(Principal::new(Scheme::Basic, "ann"));
    let token = |it: Context| it.with(Principal::new(Scheme::Jwt, "ann"));
    let identity = Identity::default().uri("spiffe://acme/billing").dns_name("billing.acme.test");
    let tls = |it: Context| it.with_peer_identity(identity.clone());
    let posing = Identity::default().uri("billing.acme.test");
    let named = Policy::new().role("role", Role::new().allow("**"));
    let named = named.subject("tls:billing.acme.test", ["role"]);
    assert_eq!(allowed(named, |it| it.with_peer_identity(posing.clone())), [""; 0]);
    for (subject, expected) in [
        ("basic:ann", [true, false, false, false]),
        ("jwt:ann", [false, true, false, false]),
        ("basic:*", [true, false, false, false]),
        ("tls:spiffe://acme/billing", [false, false, true, false]),
        ("tls:billing.acme.test", [false, false, true, false]),
        ("tls:ann", [false, false, false, false]),
        ("basic:bob", [false, false, false, false]),
        ("authenticated", [true, true, true, false]),
        ("anyone", [true, true, true, true]),
    ] {
        let policy = || policy(subject);
        let may = [
            allowed(policy(), basic),
            allowed(policy(), token),
            allowed(policy(), tls),
            allowed(policy(), |it| it),
        ];
        assert_eq!(may.map(|methods| !methods.is_empty()), expected, "{subject}");
    }
}

#[test]
fn a_role_that_a_token_carries_counts_if_the_policy_defines_it() {
    let policy = Policy::new().role("reader", Role::new().allow("**"));
    let with = |role: &'static str| {
        move |it: Context| it.with(Principal::new(Scheme::Jwt, "ann").roles([role]))
    };
    assert_eq!(allowed(policy.clone(), with("reader")).len(), ALL.len());
    for unknown in ["admin", "Reader", "", "**", "anyone"] {
        assert_eq!(allowed(policy.clone(), with(unknown)), [""; 0], "{unknown}");
    }
}

#[test]
fn a_call_without_a_method_is_denied_even_where_everything_is_allowed() {
    let decision = layer(anyone(Role::new().allow("**"))).handle().explain(&Context::new());
    assert!(!decision.is_allowed());
    assert_eq!(decision.to_string(), "the call has no method that a rule could name");
}

#[test]
fn what_is_wrong_with_a_policy_is_named() {
    let wrong = |json: &str| Policy::parse(json).unwrap_err().to_string();
    for (pattern, why) in [
        ("", "names no method: it has no `/` and no `**`"),
        ("greeter", "names no method: it has no `/` and no `**`"),
        ("greeter.Greeter/", "names no method after its `/`"),
        ("/Greeting", "names no service"),
        ("greeter..Greeter/Greeting", "has an empty segment"),
        ("greeter.**.Greeter/Greeting", "has a `**` that is not at its end"),
        ("greet*.Greeter/Greeting", "has a `*` that is not a whole segment"),
        ("greeter.Greeter/Greet*", "has a `*` that is not a whole segment"),
        ("/greeter.Greeter/Greeting", "has more than one `/`"),
    ] {
        let json = serde_json::json!({"roles": {"r": {"allow": [pattern]}}}).to_string();
        assert_eq!(wrong(&json), format!("rule `{pattern}` of role `r` {why}"));
        let json = serde_json::json!({"roles": {"r": {"deny": [pattern]}}}).to_string();
        assert_eq!(wrong(&json), format!("rule `{pattern}` of role `r` {why}"));
    }
    let subject = r#"{"subjects": {"ann": []}}"#;
    let expected =
        "subject `ann` is none of basic:NAME, jwt:NAME, tls:NAME, authenticated and anyone";
    assert_eq!(wrong(subject), expected);
    assert_eq!(wrong(r#"{"subjects": {"jwt:": []}}"#), "subject `jwt:` names nobody");
    let undefined = r#"{"subjects": {"anyone": ["r"]}}"#;
    assert_eq!(wrong(undefined), "subject `anyone` has the role `r`, which is not defined");
    let undefined = r#"{"roles": {"r": {"inherits": ["s"]}}}"#;
    assert_eq!(wrong(undefined), "role `r` inherits `s`, which is not defined");
    let circle = r#"{"roles": {"r": {"inherits": ["s"]}, "s": {"inherits": ["r"]}}}"#;
    assert_eq!(wrong(circle), "role `r` inherits itself");
    let twice = wrong(r#"{"roles": {"r": {}, "r": {"allow": ["**"]}}}"#);
    assert!(twice.starts_with("`r` stands there twice at line 1"), "{twice}");
    let twice = wrong(r#"{"roles": {"r": {"deny": ["**"], "deny": []}}}"#);
    assert!(twice.starts_with("duplicate field `deny`"), "{twice}");
    let unknown = wrong(r#"{"rolls": {}}"#);
    assert!(
        unknown.starts_with("unknown field `rolls`, expected `roles` or `subjects`"),
        "{unknown}"
    );
}

#[test]
fn what_is_too_deep_for_the_stack_is_refused() {
    let segments = |count: usize| {
        let service = vec!["a"; count].join(".");
        anyone(Role::new().allow(format!("{service}/Get")).deny(format!("{service}.**"))).check()
    };
    assert_eq!(segments(64), Ok(()));
    let why = segments(1_000_000).unwrap_err().to_string();
    assert!(why.ends_with("of role `role` has more than 64 segments"));
    let chain = |length: usize| {
        let role = |policy: Policy, at: usize| {
            policy.role(format!("{at:05}"), Role::new().inherits(format!("{:05}", at + 1)))
        };
        let policy = (0..length).fold(Policy::new(), role);
        policy.role(format!("{length:05}"), Role::new()).check()
    };
    assert_eq!(chain(64), Ok(()));
    let why = chain(50_000).unwrap_err().to_string();
    assert_eq!(why, "role `00065` is inherited over more than 64 others");
}

#[tokio::test]
async fn a_refusal_says_nothing_to_the_caller_and_all_to_the_log() {
    let greet =
        layer(Policy::new()).layer(endpoint_fn(|_: Context, ()| async { Ok::<_, Error>(()) }));
    let error = greet.invoke(call(&GREETING), ()).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(!error.message().contains("greeter") && error.find::<Denied>().is_some());
    assert!(format!("{error:#}").ends_with("no rule allows greeter.Greeter/Greeting"));
}

#[tokio::test]
async fn a_dry_run_lets_everything_in_and_tells_what_it_would_refuse() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let rbac = Rbac::new(anyone(Role::new().allow("greeter.Greeter/Greeting")))
        .dry_run()
        .observe(move |_, decision| tell.lock().unwrap().push(decision.to_string()))
        .layer()
        .unwrap();
    let greet = ServiceBuilder::new()
        .layer(rbac.clone())
        .service(endpoint_fn(|_: Context, ()| async { Ok::<_, Error>(()) }));
    greet.invoke(call(&GREETING), ()).await.unwrap();
    greet.invoke(call(&RESET), ()).await.unwrap();
    let allows = "`greeter.Greeter/Greeting` of role `role` allows greeter.Greeter/Greeting";
    assert_eq!(*told.lock().unwrap(), [allows, "no rule allows greeter.Greeter/Reset"]);
    let shown: serde_json::Value = serde_json::from_str(&rbac.handle().snapshot()).unwrap();
    let counted = [&shown["allowed"], &shown["denied"], &shown["dry_run"], &shown["rules"]];
    assert_eq!(serde_json::json!(counted), serde_json::json!([1, 1, true, 1]));
    rbac.handle().update(Policy::new()).unwrap();
    let shown: serde_json::Value = serde_json::from_str(&rbac.handle().snapshot()).unwrap();
    assert_eq!((&shown["generation"], &shown["rules"]), (&1.into(), &0.into()));
}

#[test]
fn a_policy_that_makes_no_sense_is_not_taken() {
    let handle = layer(anyone(Role::new().allow("greeter.**"))).handle();
    let wrong = anyone(Role::new().allow("greeter"));
    assert!(handle.update(wrong).is_err());
    assert!(handle.explain(&call(&GREETING)).is_allowed());
    assert!(handle.snapshot().contains("names no method"), "{}", handle.snapshot());
    handle.update(Policy::new()).unwrap();
    assert!(!handle.explain(&call(&GREETING)).is_allowed());
    assert!(handle.snapshot().contains(r#""trouble":null"#));
}

#[tokio::test(start_paused = true)]
async fn a_file_is_followed_and_a_broken_one_leaves_what_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.json");
    let write = |policy: &str| fs::write(&path, policy).unwrap();
    write(r#"{"roles": {"r": {"allow": ["**"]}}, "subjects": {"anyone": ["r"]}}"#);
    let handle = layer(Policy::read(&path).unwrap()).handle();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let follow = handle.clone().follow(&path, move |why| {
        tell.send(why.map(ToString::to_string)).unwrap();
    });
    let test = async {
        // The first look finds what is known already.
        sleep(Duration::from_millis(100)).await;
        write(r#"{"roles": {"r": {"allow": ["#);
        let why = told.recv().await.unwrap().unwrap();
        assert!(why.contains("policy.json: EOF while parsing"), "{why}");
        assert!(handle.explain(&call(&GREETING)).is_allowed(), "the last good one counts");
        fs::remove_file(&path).unwrap();
        let why = told.recv().await.unwrap().unwrap();
        assert!(why.contains("policy.json: No such file"), "{why}");
        assert!(handle.explain(&call(&GREETING)).is_allowed());
        write("{}");
        assert_eq!(told.recv().await.unwrap(), None);
        assert!(!handle.explain(&call(&GREETING)).is_allowed());
        assert!(handle.snapshot().contains(r#""trouble":null"#), "{}", handle.snapshot());
    };
    tokio::select! {
        () = test => {}
        never = follow => match never {},
    }
}

/// What a pattern means, said as plainly as can be: the oracle.
fn matches(pattern: &str, method: &Method) -> bool {
    let text = method.to_string();
    if pattern == "**" {
        return true;
    }
    if let Some(service) = pattern.strip_suffix(".**") {
        let depth = service.split('.').count();
        let segments: Vec<_> = method.service().split('.').collect();
        return segments.len() > depth && fits(service, &segments[..depth].join("."));
    }
    let ((service, name), (actual, called)) =
        (pattern.rsplit_once('/').unwrap(), text.rsplit_once('/').unwrap());
    fits(service, actual) && (name == "*" || name == called)
}

fn fits(pattern: &str, service: &str) -> bool {
    pattern.split('.').count() == service.split('.').count()
        && pattern.split('.').zip(service.split('.')).all(|(p, s)| p == "*" || p == s)
}

fn pattern() -> impl Strategy<Value = String> {
    let segment =
        || prop::sample::select(vec!["greeter", "Greeter", "v2", "billing", "Billing", "*"]);
    let service = || prop::collection::vec(segment(), 1..4).prop_map(|it| it.join("."));
    let name = prop::sample::select(vec!["Greeting", "Reset", "Pay", "*"]);
    prop_oneof![
        (service(), name).prop_map(|(service, name)| format!("{service}/{name}")),
        service().prop_map(|service| format!("{service}.**")),
        Just("**".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_table_decides_as_its_rules_one_by_one(
        allow in prop::collection::vec(pattern(), 0..6),
        deny in prop::collection::vec(pattern(), 0..3),
        inherited in prop::collection::vec(pattern(), 0..3),
    ) {
        let role = allow.iter().fold(Role::new().inherits("base"), Role::allow);
        let role = deny.iter().fold(role, Role::deny);
        let base = inherited.iter().fold(Role::new(), Role::allow);
        // Roles that nobody has count for nothing, however many there are.
        let idle = |policy: Policy, n| policy.role(format!("idle{n}"), Role::new().allow("**"));
        let policy = (0..100).fold(anyone(role).role("base", base), idle);
        let handle = layer(policy).handle();
        for method in ALL {
            let any = |rules: &[String]| rules.iter().any(|rule| matches(rule, method));
            let expected = !any(&deny) && (any(&allow) || any(&inherited));
            prop_assert_eq!(handle.explain(&call(method)).is_allowed(), expected);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,80}") {
        let _ = Policy::parse(&text);
        let _ = anyone(Role::new().allow(text.clone()).deny(text.clone())).check();
        let _ = Policy::new().subject(text, [""; 0]).check();
    }
}

#[test]
fn a_policy_is_written_as_it_is_read() {
    let policy =
        anyone(Role::new().allow("**").deny("a.B/C").inherits("base")).role("base", Role::new());
    let json = serde_json::to_string(&policy).unwrap();
    assert_eq!(Policy::parse(&json).unwrap(), policy);
}
