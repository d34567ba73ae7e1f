//! Go kit's scenarios, and what the layer makes of an enforcer.

use casbin::{CoreApi as _, DefaultModel, Enforcer, MgmtApi as _};
use purlin_auth::{Denied, Principal, Scheme};
use purlin_auth_casbin::CasbinLayer;
use purlin_endpoint::{Code, Context, Endpoint, Error, Method, conformance, endpoint_fn};
use tower::Layer as _;

static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");

const BASIC: &str = "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n\
    [policy_effect]\ne = some(where (p.eft == allow))\n\
    [matchers]\nm = r.sub == p.sub && r.obj == p.obj && r.act == p.act\n";

const KEY_MATCH: &str = "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n\
    [policy_effect]\ne = some(where (p.eft == allow))\n\
    [matchers]\nm = r.sub == p.sub && keyMatch(r.obj, p.obj) && regexMatch(r.act, p.act)\n";

async fn enforcer(model: &str, rules: &[[&str; 3]]) -> Enforcer {
    let model = DefaultModel::from_str(model).await.unwrap();
    let mut enforcer = Enforcer::new(model, ()).await.unwrap();
    for rule in rules {
        enforcer.add_policy(rule.map(String::from).to_vec()).await.unwrap();
    }
    enforcer
}

fn asks(asked: [&'static str; 3]) -> impl Fn(&Context) -> Option<Vec<String>> {
    move |_| Some(asked.map(String::from).to_vec())
}

fn service(layer: &CasbinLayer) -> impl Endpoint<(), Response = (), Error = Error> + use<> {
    layer.layer(endpoint_fn(|_: Context, ()| async { Ok::<_, Error>(()) }))
}

/// What becomes of a call about which these values are asked.
async fn outcome(model: &str, rules: &[[&str; 3]], asked: [&'static str; 3]) -> Result<(), Error> {
    let layer = CasbinLayer::new(enforcer(model, rules).await).asking(asks(asked));
    service(&layer).invoke(Context::new(), ()).await
}

#[tokio::test]
async fn c_1_and_c_2_a_model_in_memory_allows_what_its_patterns_match() {
    let rules = [
        ["alice", "/alice_data/*", "GET"],
        ["alice", "/alice_data/resource1", "POST"],
        ["bob", "/alice_data/resource2", "GET"],
    ];
    let ask = |asked| outcome(KEY_MATCH, &rules, asked);
    ask(["alice", "/alice_data/resource1", "GET"]).await.unwrap();
    let refused = ask(["alice", "/alice_data/resource2", "POST"]).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.find::<Denied>().is_some());
}

#[tokio::test]
async fn c_3_a_model_and_a_policy_may_be_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        // Casbin takes paths that live for ever.
        &*String::leak(path.to_str().unwrap().to_owned())
    };
    let (model, policy) =
        (write("model.conf", BASIC), write("policy.csv", "p, alice, data1, read\n"));
    let enforcer = Enforcer::new(model, policy).await.unwrap();
    let layer = CasbinLayer::new(enforcer).asking(asks(["alice", "data1", "read"]));
    service(&layer).invoke(Context::new(), ()).await.unwrap();
}

#[tokio::test]
async fn who_is_asked_about_is_the_principal_and_the_routed_method() {
    let allowed = [["jwt:ann", "greeter.Greeter", "Greeting"]];
    let service = service(&CasbinLayer::new(enforcer(BASIC, &allowed).await));
    let call = Context::new().with_method(&GREETING);
    let ann = call.clone().with(Principal::new(Scheme::Jwt, "ann"));
    service.invoke(ann, ()).await.unwrap();
    let bob = call.clone().with(Principal::new(Scheme::Jwt, "bob"));
    let other_ann = call.clone().with(Principal::new(Scheme::Basic, "ann"));
    for (context, why) in [
        (bob, "the policy does not allow"),
        (other_ann, "the policy does not allow"),
        (call, "no subject or no object"),
        (Context::new().with(Principal::new(Scheme::Jwt, "ann")), "no subject or no object"),
    ] {
        let error = service.invoke(context, ()).await.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied);
        assert!(format!("{error:#}").contains(why), "{error:#}");
        assert!(!error.message().contains("policy"), "{}", error.message());
    }
}

#[tokio::test]
async fn what_can_not_be_decided_is_refused() {
    let layer = CasbinLayer::new(enforcer(BASIC, &[]).await)
        .asking(|_| Some(vec!["only one value".to_owned()]));
    let error = service(&layer).invoke(Context::new(), ()).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_new_enforcer_decides_from_now_on() {
    let layer = CasbinLayer::new(enforcer(BASIC, &[]).await).asking(asks(["a", "b", "c"]));
    let (handle, service) = (layer.handle(), service(&layer));
    service.invoke(Context::new(), ()).await.unwrap_err();
    handle.update(enforcer(BASIC, &[["a", "b", "c"]]).await);
    service.invoke(Context::new(), ()).await.unwrap();
}

#[tokio::test]
async fn the_layer_keeps_the_rules_of_all_layers() {
    let allowing =
        CasbinLayer::new(enforcer(BASIC, &[["a", "b", "c"]]).await).asking(asks(["a", "b", "c"]));
    conformance::check(|| allowing.clone()).await;
    let refusing = CasbinLayer::new(enforcer(BASIC, &[]).await);
    conformance::check_refusing(|| refusing.clone()).await;
}
