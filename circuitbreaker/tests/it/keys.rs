use crate::{Do, Obedient, SECOND};
use purlin_circuitbreaker::{CircuitBreaker, CircuitBreakerLayer, State};
use purlin_endpoint::{Code, Context, Error, Layer as _, Method, Request, Service};

static GET: Method = Method::unary("shop.Cart", "Get");
static PUT: Method = Method::unary("shop.Cart", "Put");
/// The same method, declared somewhere else.
static GET_TOO: Method = Method::unary("shop.Cart", "Get");

struct Tenant(u32);

fn brittle() -> CircuitBreakerLayer {
    CircuitBreaker::new().consecutive_failures(1).layer().unwrap()
}

fn by_tenant() -> CircuitBreakerLayer {
    brittle().by(|context: &Context| context.get().map(|tenant: &Tenant| tenant.0))
}

/// Calls with this context, and tells whether it was let in.
async fn is_let_in<S>(service: &mut S, context: &Context, what: Do) -> bool
where
    S: Service<Request<Do>, Response = (), Error = Error>,
{
    let outcome = service.call(Request::new(context.clone(), what)).await;
    outcome.err().is_none_or(|error| error.code() != Code::Unavailable)
}

const FAIL: Do = Do::Fail(Code::Internal);

#[tokio::test(start_paused = true)]
async fn each_method_has_a_breaker_of_its_own() {
    let layer = brittle();
    let mut service = layer.layer(Obedient);
    let [get, put, get_too] = [&GET, &PUT, &GET_TOO].map(|m| Context::new().with_method(m));
    assert!(is_let_in(&mut service, &get, FAIL).await);
    assert!(!is_let_in(&mut service, &get, Do::Answer).await);
    assert!(!is_let_in(&mut service, &get_too, Do::Answer).await);
    assert!(is_let_in(&mut service, &put, Do::Answer).await);
    assert!(is_let_in(&mut service, &Context::new(), Do::Answer).await);
    let status = layer.handle().status();
    let mut states: Vec<_> = status.iter().map(|s| (&*s.key, s.state, s.refused)).collect();
    states.sort_unstable_by_key(|(key, ..)| *key);
    let wanted = [
        ("*", State::Closed, 0),
        ("shop.Cart/Get", State::Open, 2),
        ("shop.Cart/Put", State::Closed, 0),
    ];
    assert_eq!(states, wanted);
}

#[tokio::test(start_paused = true)]
async fn more_methods_than_there_is_room_for_share_a_breaker() {
    let layer = brittle();
    let mut service = layer.layer(Obedient);
    // A program with so many methods keeps them as long as it runs, as this one does.
    let names = (0..1_200).map(|n| &*Box::leak(format!("M{n}").into_boxed_str()));
    let methods: Vec<&'static Method> =
        names.map(|name| &*Box::leak(Box::new(Method::unary("big.Service", name)))).collect();
    for method in &methods[..1_100] {
        let context = Context::new().with_method(method);
        assert!(is_let_in(&mut service, &context, Do::Answer).await);
    }
    assert_eq!(layer.handle().status().len(), 1 + 1_024);
    let [known, new, other] = [3, 1_099, 1_199].map(|n| Context::new().with_method(methods[n]));
    assert!(is_let_in(&mut service, &new, FAIL).await);
    assert!(!is_let_in(&mut service, &other, Do::Answer).await);
    assert!(is_let_in(&mut service, &known, Do::Answer).await);
}

#[tokio::test(start_paused = true)]
async fn each_key_has_a_breaker_and_calls_without_one_share_another() {
    let layer = by_tenant();
    let mut service = layer.layer(Obedient);
    let [first, second] = [1, 2].map(|tenant| Context::new().with(Tenant(tenant)));
    assert!(is_let_in(&mut service, &first, FAIL).await);
    assert!(!is_let_in(&mut service, &first, Do::Answer).await);
    assert!(is_let_in(&mut service, &second, Do::Answer).await);
    assert!(is_let_in(&mut service, &Context::new(), FAIL).await);
    assert!(!is_let_in(&mut service, &Context::new(), Do::Answer).await);
}

#[tokio::test(start_paused = true)]
async fn no_number_of_keys_takes_the_breaker_of_one_that_fails() {
    let layer = by_tenant();
    let mut service = layer.layer(Obedient);
    let failing = Context::new().with(Tenant(u32::MAX));
    assert!(is_let_in(&mut service, &failing, FAIL).await);
    for tenant in 0..10_000 {
        let context = Context::new().with(Tenant(tenant));
        assert!(is_let_in(&mut service, &context, Do::Answer).await);
    }
    assert!(layer.handle().status().len() <= 1 + 1_024);
    assert!(!is_let_in(&mut service, &failing, Do::Answer).await);
}

#[tokio::test(start_paused = true)]
async fn keys_beyond_the_bound_share_a_breaker_until_others_are_forgotten() {
    let layer = by_tenant();
    let mut service = layer.layer(Obedient);
    for tenant in 0..2_000 {
        // All fail, so none is forgotten; and the shared one opens.
        is_let_in(&mut service, &Context::new().with(Tenant(tenant)), FAIL).await;
    }
    let keys = layer.handle().status().len();
    assert!((900..=1_025).contains(&keys), "{keys}");
    assert_eq!(layer.handle().status()[0].state, State::Open);
    tokio::time::advance(3_600 * SECOND).await;
    for tenant in 2_000..4_000 {
        is_let_in(&mut service, &Context::new().with(Tenant(tenant)), Do::Answer).await;
    }
    let open = layer.handle().status().into_iter().filter(|s| s.state == State::Open);
    assert!(open.count() < 200, "those that nobody uses should be forgotten");
}
