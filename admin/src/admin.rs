use crate::{
    Action, AdminService,
    record::{Record, millis},
    series::{SLOT, bounds_ms},
    service::Mounted,
    watch::{Handle, Traffic},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use purlin_endpoint::{Inspect, Method, Service};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;

/// Everything that the page shows, collected by hand.
///
/// It is read-only, and answers only callers on this machine, unless told otherwise.
pub struct Admin {
    service: Cow<'static, str>,
    version: Cow<'static, str>,
    started: Instant,
    started_ms: u64,
    routes: Vec<Route>,
    methods: Vec<(&'static Method, Vec<Arc<dyn Inspect>>)>,
    components: Vec<Arc<dyn Inspect>>,
    watch: Option<Handle>,
    settings: Vec<Setting>,
    actions: Vec<Action>,
    pub(crate) acts: bool,
    pub(crate) remote: bool,
    pub(crate) mounted: BTreeMap<Cow<'static, str>, Mounted>,
}

#[derive(Clone, Debug, Serialize)]
struct Route {
    transport: Cow<'static, str>,
    route: Cow<'static, str>,
    method: String,
}

/// Where a setting has its value from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody has said anything else.
    Default,
    /// An argument of the command.
    Argument,
    /// The environment.
    Environment,
    /// A file, by its path.
    File(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Argument => f.write_str("argument"),
            Self::Environment => f.write_str("environment"),
            Self::File(path) => write!(f, "file {path}"),
        }
    }
}

/// As it is displayed.
impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[derive(Clone, Debug, Serialize)]
struct Setting {
    name: Cow<'static, str>,
    value: String,
    origin: Origin,
}

/// Parts of a setting's name by which its value is a secret.
const SECRET: &[&str] = &[
    "access_key",
    "api_key",
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "jwt",
    "passphrase",
    "passwd",
    "password",
    "private",
    "secret",
    "signing_key",
    "token",
];

impl Admin {
    /// A page about the service of this name and version, which starts now.
    pub fn new(
        service: impl Into<Cow<'static, str>>,
        version: impl Into<Cow<'static, str>>,
    ) -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            service: service.into(),
            version: version.into(),
            started: Instant::now(),
            started_ms: millis(since_1970),
            routes: Vec::new(),
            methods: Vec::new(),
            components: Vec::new(),
            watch: None,
            settings: Vec::new(),
            actions: Vec::new(),
            acts: false,
            remote: false,
            mounted: BTreeMap::new(),
        }
    }

    /// Shows where a method is served: `.route("HTTP", "GET /greeting", &GREETING)`.
    #[must_use]
    pub fn route(
        mut self,
        transport: impl Into<Cow<'static, str>>,
        route: impl Into<Cow<'static, str>>,
        method: &'static Method,
    ) -> Self {
        let (transport, route) = (transport.into(), route.into());
        self.routes.push(Route { transport, route, method: method.to_string() });
        self
    }

    /// Shows the layers of a method, the outermost first, with their state.
    #[must_use]
    pub fn method(
        mut self,
        method: &'static Method,
        layers: impl IntoIterator<Item = Arc<dyn Inspect>>,
    ) -> Self {
        self.methods.push((method, layers.into_iter().collect()));
        self
    }

    /// Shows something that belongs to no method: a server, a registry, a balancer, the process.
    #[must_use]
    pub fn component(mut self, component: impl Inspect + 'static) -> Self {
        self.components.push(Arc::new(component));
        self
    }

    /// Shows the calls that a [`WatchLayer`](crate::WatchLayer) watches.
    #[must_use]
    pub fn watch(self, watch: Handle) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// Shows a setting and where it has its value from.
    ///
    /// The value is hidden if the name speaks of a password, secret, token, cookie or credential, or
    /// of an access, API, signing or private key.
    #[must_use]
    pub fn setting(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl fmt::Display,
        origin: Origin,
    ) -> Self {
        let name = name.into();
        let folded = name.to_ascii_lowercase().replace('-', "_");
        let secret = SECRET.iter().any(|part| folded.contains(part));
        let value = if secret { "***".to_owned() } else { value.to_string() };
        self.settings.push(Setting { name, value, origin });
        self
    }

    /// Offers an action, once [`enable_actions`](Self::enable_actions) is called.
    #[must_use]
    pub fn action(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }

    /// Lets callers do what the actions do. Put a layer of your own around the service then, if
    /// others than you can reach it.
    #[must_use]
    pub fn enable_actions(self) -> Self {
        Self { acts: true, ..self }
    }

    /// Answers callers from other machines too, by whatever name they call this one.
    ///
    /// Without this, a caller must come over the loopback and name an address or `localhost`: a web
    /// site that has its name point here gets nothing.
    #[must_use]
    pub fn allow_remote(self) -> Self {
        Self { remote: true, ..self }
    }

    /// Serves another path beside the page, as in `/readyz` or `/metrics`, and links to it.
    #[must_use]
    pub fn mount<S>(mut self, path: impl Into<Cow<'static, str>>, service: S) -> Self
    where
        S: Service<Request<()>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>,
        S: Clone + Send + Sync + 'static,
    {
        self.mounted.insert(path.into(), Mounted::new(service));
        self
    }

    /// Serves a text that is made anew for each request.
    #[must_use]
    pub fn text(
        mut self,
        path: impl Into<Cow<'static, str>>,
        content_type: &'static str,
        text: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        self.mounted.insert(path.into(), Mounted::text(content_type, text));
        self
    }

    /// The page as an HTTP service, for a port that others do not reach.
    pub fn service(self) -> AdminService {
        AdminService::new(self)
    }

    pub(crate) fn find(&self, action: &str) -> Option<&Action> {
        self.actions.iter().find(|known| known.name() == action)
    }

    /// Everything, as JSON.
    pub(crate) fn state(&self) -> String {
        let (recent, failed) = self.watch.as_ref().map(Handle::calls).unwrap_or_default();
        let state = State {
            service: About {
                name: &self.service,
                version: &self.version,
                profile: if cfg!(debug_assertions) { "debug" } else { "release" },
                os: std::env::consts::OS,
                arch: std::env::consts::ARCH,
                started_ms: self.started_ms,
                uptime_s: self.started.elapsed().as_secs(),
            },
            routes: &self.routes,
            methods: self.methods.iter().map(Stack::of).collect(),
            components: self.components.iter().map(Shown::of).collect(),
            slot_s: SLOT.as_secs(),
            bounds_ms: bounds_ms(),
            traffic: self.watch.as_ref().map(Handle::traffic).unwrap_or_default(),
            recent,
            failed,
            settings: &self.settings,
            actions: if self.acts { &self.actions } else { &[] },
            pages: self.mounted.keys().map(AsRef::as_ref).collect(),
        };
        // Its keys are texts, so it can be written.
        serde_json::to_string(&state).unwrap_or_default()
    }
}

/// The whole contract between the process and the page.
#[derive(Serialize)]
struct State<'a> {
    service: About<'a>,
    routes: &'a [Route],
    methods: Vec<Stack>,
    components: Vec<Shown>,
    /// How long a slot of the traffic is.
    slot_s: u64,
    /// The upper bounds of the buckets of durations; one more has none.
    bounds_ms: [f64; 20],
    traffic: Vec<Traffic>,
    recent: Vec<Record>,
    failed: Vec<Record>,
    settings: &'a [Setting],
    actions: &'a [Action],
    pages: Vec<&'a str>,
}

#[derive(Serialize)]
struct About<'a> {
    name: &'a str,
    version: &'a str,
    profile: &'static str,
    os: &'static str,
    arch: &'static str,
    started_ms: u64,
    uptime_s: u64,
}

/// The layers of a method.
#[derive(Serialize)]
struct Stack {
    method: String,
    layers: Vec<Shown>,
}

impl Stack {
    fn of((method, layers): &(&'static Method, Vec<Arc<dyn Inspect>>)) -> Self {
        Self { method: method.to_string(), layers: layers.iter().map(Shown::of).collect() }
    }
}

/// What a component says of itself.
#[derive(Serialize)]
struct Shown {
    name: String,
    state: Box<RawValue>,
}

impl Shown {
    /// A snapshot that is no JSON, or that panics, spoils nothing but itself.
    fn of(component: &Arc<dyn Inspect>) -> Self {
        let told = purlin_endpoint::catch_panic(|| (component.name(), component.snapshot()));
        let (name, snapshot) =
            told.unwrap_or_else(|_| ("?".to_owned(), r#"{"error":"panicked"}"#.to_owned()));
        let state = RawValue::from_string(snapshot).unwrap_or_else(|error| {
            let why = format!("its snapshot is no JSON: {error}");
            let said = serde_json::json!({ "error": why }).to_string();
            RawValue::from_string(said).unwrap_or_default()
        });
        Self { name, state }
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("service", &self.service)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
