use super::{Decision, InvalidPolicy, Policy, table::Table};
use crate::Denied;
use arc_swap::ArcSwap;
use purlin_endpoint::{
    AsError, AsResponse, Call, Context, Inspect, Intercept, InterceptLayer, Intercepted, Layer,
};
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::time::Instant;

type Observe = Arc<dyn Fn(&Context, &Decision) + Send + Sync>;

/// Lets in the calls that a [`Policy`] allows.
#[derive(Clone)]
pub struct Rbac {
    policy: Policy,
    dry_run: bool,
    observe: Option<Observe>,
}

impl Rbac {
    /// By this policy.
    pub fn new(policy: Policy) -> Self {
        Self { policy, dry_run: false, observe: None }
    }

    /// Lets in what the policy denies, too. [`observe`](Self::observe) tells what it would refuse.
    #[must_use]
    pub fn dry_run(self) -> Self {
        Self { dry_run: true, ..self }
    }

    /// Tells of each decision, for a log: it is called within the call, and must be quick.
    #[must_use]
    pub fn observe(self, tell: impl Fn(&Context, &Decision) + Send + Sync + 'static) -> Self {
        Self { observe: Some(Arc::new(tell)), ..self }
    }

    /// Makes the layer.
    ///
    /// # Errors
    ///
    /// If the policy makes no sense: see [`Policy::check`].
    pub fn layer(self) -> Result<RbacLayer, InvalidPolicy> {
        let loaded = Loaded::new(self.policy)?;
        let shared = Shared {
            loaded: ArcSwap::from_pointee(loaded),
            generation: AtomicU64::new(0),
            allowed: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            trouble: Mutex::default(),
        };
        let (dry_run, observe) = (self.dry_run, self.observe);
        Ok(RbacLayer(InterceptLayer::new(Authorize { shared: Arc::new(shared), dry_run, observe })))
    }
}

impl fmt::Debug for Rbac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rbac")
            .field("policy", &self.policy)
            .field("dry_run", &self.dry_run)
            .finish_non_exhaustive()
    }
}

/// Refuses calls that the policy does not allow, with [`Denied`]. Clones share the policy.
///
/// It stands further in than the layer that authenticates.
#[derive(Clone, Debug)]
pub struct RbacLayer<A = AsError>(InterceptLayer<Authorize, A>);

impl<A> RbacLayer<A> {
    /// Answers a refused call with a response instead of an error.
    pub fn respond<F>(self, respond: F) -> RbacLayer<AsResponse<F>> {
        RbacLayer(self.0.respond(respond))
    }

    /// Shows and changes the policy.
    pub fn handle(&self) -> Handle {
        Handle(self.0.intercept().clone())
    }
}

impl<A: Clone, S> Layer<S> for RbacLayer<A> {
    type Service = Intercepted<Authorize, A, S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(inner)
    }
}

/// The decision of an [`RbacLayer`].
pub struct Authorize {
    shared: Arc<Shared>,
    dry_run: bool,
    observe: Option<Observe>,
}

struct Shared {
    loaded: ArcSwap<Loaded>,
    /// How often the policy was replaced.
    generation: AtomicU64,
    allowed: AtomicU64,
    denied: AtomicU64,
    /// Why the newest policy is not the one that counts.
    trouble: Mutex<Option<String>>,
}

/// A policy with its table: both are swapped at once.
struct Loaded {
    policy: Policy,
    table: Table,
    since: Instant,
}

impl Loaded {
    fn new(policy: Policy) -> Result<Self, InvalidPolicy> {
        let table = Table::new(&policy)?;
        Ok(Self { policy, table, since: Instant::now() })
    }
}

impl<Req: Call> Intercept<Req> for Authorize {
    type Guard = ();
    type Refusal = Denied;

    fn before(self: &Arc<Self>, request: &mut Req) -> Result<(), Denied> {
        let context = request.context();
        let decision = self.shared.loaded.load().table.decide(context);
        context.notes().say("rbac", || decision.to_string());
        if let Some(observe) = &self.observe {
            observe(context, &decision);
        }
        let allowed = decision.is_allowed();
        let count = if allowed { &self.shared.allowed } else { &self.shared.denied };
        count.fetch_add(1, Ordering::Relaxed);
        if allowed || self.dry_run { Ok(()) } else { Err(Denied::new(decision.to_string())) }
    }

    fn name(&self) -> &'static str {
        "rbac"
    }
}

impl fmt::Debug for Authorize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorize").field("dry_run", &self.dry_run).finish_non_exhaustive()
    }
}

/// Shows and changes the policy of an [`RbacLayer`].
#[derive(Clone, Debug)]
pub struct Handle(Arc<Authorize>);

impl Handle {
    /// What would become of a call with this context, and by which rule.
    pub fn explain(&self, context: &Context) -> Decision {
        self.0.shared.loaded.load().table.decide(context)
    }

    /// Takes another policy, all of it at once: no call sees a part of each.
    ///
    /// # Errors
    ///
    /// If it makes no sense; then the one that counts stays.
    pub fn update(&self, policy: Policy) -> Result<(), InvalidPolicy> {
        let loaded = Loaded::new(policy);
        self.trouble(loaded.as_ref().err().map(ToString::to_string));
        self.0.shared.loaded.store(Arc::new(loaded?));
        self.0.shared.generation.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The policy that counts.
    pub fn policy(&self) -> Policy {
        self.0.shared.loaded.load().policy.clone()
    }

    /// Remembers why the newest policy is not the one that counts.
    pub(super) fn trouble(&self, why: Option<String>) {
        *self.0.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

/// Shows how large the policy is, how often it was replaced and for how long it has counted, what was
/// decided, and why a newer one does not count.
impl Inspect for Handle {
    fn name(&self) -> String {
        "rbac".to_owned()
    }

    fn snapshot(&self) -> String {
        let shared = &self.0.shared;
        let loaded = shared.loaded.load();
        let (roles, rules, subjects) = loaded.table.size();
        let trouble = shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        serde_json::json!({
            "roles": roles,
            "rules": rules,
            "subjects": subjects,
            "generation": shared.generation.load(Ordering::Relaxed),
            "age_s": loaded.since.elapsed().as_secs(),
            "dry_run": self.0.dry_run,
            "allowed": shared.allowed.load(Ordering::Relaxed),
            "denied": shared.denied.load(Ordering::Relaxed),
            "trouble": trouble,
        })
        .to_string()
    }
}
