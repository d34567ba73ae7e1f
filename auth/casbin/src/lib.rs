//! Casbin decides who may call what.
//!
//! ```
//! use casbin::{CoreApi as _, DefaultModel, Enforcer, MgmtApi as _};
//! use purlin_auth::{Principal, Scheme};
//! use purlin_auth_casbin::CasbinLayer;
//! use purlin_endpoint::{Code, Context, Endpoint as _, Error, Method, endpoint_fn};
//! use tower::ServiceBuilder;
//!
//! static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = DefaultModel::from_str("
//!     [request_definition]\nr = sub, obj, act
//!     [policy_definition]\np = sub, obj, act
//!     [policy_effect]\ne = some(where (p.eft == allow))
//!     [matchers]\nm = r.sub == p.sub && r.obj == p.obj && r.act == p.act
//! ").await?;
//! let mut enforcer = Enforcer::new(model, ()).await?;
//! enforcer.add_policy(["basic:ann", "greeter.Greeter", "Greeting"].map(String::from).to_vec()).await?;
//! let greet = ServiceBuilder::new()
//!     .layer(CasbinLayer::new(enforcer))
//!     .service(endpoint_fn(|_: Context, ()| async { Ok::<_, Error>("Hello!") }));
//!
//! let call = |name| Context::new().with_method(&GREETING).with(Principal::new(Scheme::Basic, name));
//! assert_eq!(greet.invoke(call("ann"), ()).await?, "Hello!");
//! let refused = greet.invoke(call("bob"), ()).await.unwrap_err();
//! assert_eq!(refused.code(), Code::PermissionDenied);
//! # Ok(())
//! # }
//! ```
//!
//! A call is asked about as a subject, an object and an action: its
//! [`Principal`] as in `basic:ann` or `jwt:ann`, the service and the name of its method, unless [`CasbinLayer::asking`] says
//! otherwise. What the enforcer does not allow, what it can't decide, and a call without a principal
//! or a method are refused with [`Denied`]; the reason is for the log. Clones of a layer share the
//! enforcer, which [`Handle::update`] replaces while calls run.
//!
//! The rules of [`purlin_auth::rbac`] decide within a microsecond; Casbin interprets its model for
//! each rule, and takes as much longer as there are rules. It is here for models that it alone has.

use arc_swap::ArcSwap;
use casbin::{CoreApi as _, Enforcer};
use purlin_auth::{Denied, Principal};
use purlin_endpoint::{
    AsError, AsResponse, Call, Context, Intercept, InterceptLayer, Intercepted, Layer,
};
use std::{fmt, sync::Arc};

/// What an enforcer is asked: values in the order of the model's request definition.
type Ask = Arc<dyn Fn(&Context) -> Option<Vec<String>> + Send + Sync>;

/// Lets in the calls that an enforcer allows.
#[derive(Clone, Debug)]
pub struct CasbinLayer<A = AsError>(InterceptLayer<Casbin, A>);

impl CasbinLayer {
    /// Asks this enforcer.
    pub fn new(enforcer: Enforcer) -> Self {
        let enforcer = Arc::new(ArcSwap::from_pointee(enforcer));
        Self(InterceptLayer::new(Casbin { enforcer, ask: Arc::new(subject_object_action) }))
    }

    /// Asks for these values, in the order of the model's request definition; `None` refuses the
    /// call.
    ///
    /// They belong to the call's context: what a caller says of itself in a header is not asked for.
    #[must_use]
    pub fn asking<F>(self, ask: F) -> Self
    where
        F: Fn(&Context) -> Option<Vec<String>> + Send + Sync + 'static,
    {
        let enforcer = self.0.intercept().enforcer.clone();
        Self(InterceptLayer::new(Casbin { enforcer, ask: Arc::new(ask) }))
    }
}

impl<A> CasbinLayer<A> {
    /// Answers a refused call with a response instead of an error.
    pub fn respond<F>(self, respond: F) -> CasbinLayer<AsResponse<F>> {
        CasbinLayer(self.0.respond(respond))
    }

    /// Replaces the enforcer.
    pub fn handle(&self) -> Handle {
        Handle(self.0.intercept().enforcer.clone())
    }
}

impl<A: Clone, S> Layer<S> for CasbinLayer<A> {
    type Service = Intercepted<Casbin, A, S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(inner)
    }
}

/// Replaces the enforcer of a [`CasbinLayer`].
#[derive(Clone)]
pub struct Handle(Arc<ArcSwap<Enforcer>>);

impl Handle {
    /// Asks this enforcer from now on. Calls that are being decided are decided by the old one.
    pub fn update(&self, enforcer: Enforcer) {
        self.0.store(Arc::new(enforcer));
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// The decision of a [`CasbinLayer`].
pub struct Casbin {
    enforcer: Arc<ArcSwap<Enforcer>>,
    ask: Ask,
}

impl<Req: Call> Intercept<Req> for Casbin {
    type Guard = ();
    type Refusal = Denied;

    fn before(self: &Arc<Self>, request: &mut Req) -> Result<(), Denied> {
        let Some(asked) = (self.ask)(request.context()) else {
            return Err(Denied::new("the call has no subject or no object to ask about"));
        };
        match self.enforcer.load().enforce(asked.clone()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Denied::new(format!("the policy does not allow {asked:?}"))),
            Err(error) => Err(Denied::new(format!("{asked:?} can't be decided: {error}"))),
        }
    }

    fn name(&self) -> &'static str {
        "casbin"
    }
}

impl fmt::Debug for Casbin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Casbin").finish_non_exhaustive()
    }
}

fn subject_object_action(context: &Context) -> Option<Vec<String>> {
    let (principal, method) = (context.get::<Principal>()?, context.method()?);
    let subject = format!("{}:{}", principal.scheme(), principal.name());
    Some(vec![subject, method.service().to_owned(), method.name().to_owned()])
}
