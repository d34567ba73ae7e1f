use crate::{
    options::Options,
    route::{Decode, Each, Encode, Mounted, One, Route},
    serve::Unserved,
};
use http::{HeaderMap, HeaderName};
use prost::Message;
use purlin_endpoint::{Code, Context, Endpoint, Error, Kind, Method, Service, Streaming};
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// A gRPC server: methods on their paths, as one tower service.
///
/// It serves any `http::Request`, whatever its body is, and never fails: it goes under
/// `purlin-serve`, hyper, axum or tonic's own server. Clones share their methods; a clone that is
/// called again and again by `&mut`, as one connection does, keeps endpoints of its own.
///
/// A method is mounted in a line, with a function from its protobuf message to the endpoint's
/// request, and one from the endpoint's response to protobuf. For a stream they run per message.
///
/// A panic further in is answered with `INTERNAL` and nothing of its text; the connection and its
/// other calls live on.
#[derive(Clone)]
pub struct Server<F = Unserved> {
    pub(crate) routes: Arc<Routes>,
    pub(crate) options: Arc<Options>,
    pub(crate) names: Names,
    pub(crate) own: Own,
    pub(crate) fallback: F,
}

/// The services that are mounted, as the services about services see them.
#[derive(Clone, Default)]
pub(crate) struct Names(Arc<Mutex<BTreeSet<&'static str>>>);

impl Names {
    fn add(&self, name: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    pub(crate) fn all(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

#[derive(Clone, Default)]
pub(crate) struct Routes {
    index: HashMap<Box<str>, usize>,
    list: Vec<(&'static Method, Arc<dyn Route>)>,
}

/// What a clone of the server has for itself.
#[derive(Default)]
pub(crate) struct Own {
    routes: Vec<Option<Arc<dyn Route>>>,
    called: bool,
}

/// A clone begins with nothing of its own. Most clones are called once, and never need it.
impl Clone for Own {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Own {
    /// The route for a path: shared for the first call, and then one of its own.
    pub(crate) fn route<'a>(
        &'a mut self,
        routes: &'a Routes,
        path: &str,
    ) -> Option<(&'static Method, &'a dyn Route)> {
        let &index = routes.index.get(path)?;
        let (method, ref shared) = *routes.list.get(index)?;
        if !std::mem::replace(&mut self.called, true) {
            return Some((method, &**shared));
        }
        if self.routes.len() <= index {
            self.routes.resize(routes.list.len(), None);
        }
        let own = self.routes.get_mut(index)?;
        Some((method, &**own.get_or_insert_with(|| shared.copy())))
    }
}

impl Server {
    /// A server without methods.
    pub fn new() -> Self {
        Self {
            routes: Arc::default(),
            options: Arc::default(),
            names: Names::default(),
            own: Own::default(),
            fallback: Unserved::new(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> Server<F> {
    /// Mounts a method with one request and one response.
    ///
    /// A method that is mounted twice is served as the second.
    ///
    /// # Panics
    ///
    /// If the method was declared as one of another kind, which only a mistake in the program can
    /// do; so do the other three.
    #[must_use]
    pub fn unary<S, Req, PbReq, PbRes>(
        self,
        method: &'static Method,
        endpoint: S,
        decode: impl Fn(PbReq) -> Result<Req, Error> + Send + Sync + 'static,
        encode: impl Fn(S::Response) -> Result<PbRes, Error> + Send + Sync + 'static,
    ) -> Self
    where
        S: Endpoint<Req> + Service<purlin_endpoint::Request<Req>, Error: Into<Error>>,
        Req: Send + 'static,
        PbReq: Message + Default + 'static,
        PbRes: Message + 'static,
    {
        self.mount(method, Kind::Unary, endpoint, One::new(decode), One::new(encode))
    }

    /// Mounts a method with a stream of requests and one response.
    #[must_use]
    pub fn client_streaming<S, Req, PbReq, PbRes>(
        self,
        method: &'static Method,
        endpoint: S,
        decode: impl Fn(PbReq) -> Result<Req, Error> + Send + Sync + 'static,
        encode: impl Fn(S::Response) -> Result<PbRes, Error> + Send + Sync + 'static,
    ) -> Self
    where
        S: Endpoint<Streaming<Req>>
            + Service<purlin_endpoint::Request<Streaming<Req>>, Error: Into<Error>>,
        Req: Send + 'static,
        PbReq: Message + Default + 'static,
        PbRes: Message + 'static,
    {
        self.mount(method, Kind::ClientStreaming, endpoint, Each::new(decode), One::new(encode))
    }

    /// Mounts a method with one request and a stream of responses.
    #[must_use]
    pub fn server_streaming<S, Req, Res, PbReq, PbRes>(
        self,
        method: &'static Method,
        endpoint: S,
        decode: impl Fn(PbReq) -> Result<Req, Error> + Send + Sync + 'static,
        encode: impl Fn(Res) -> Result<PbRes, Error> + Send + Sync + 'static,
    ) -> Self
    where
        S: Endpoint<Req>
            + Service<purlin_endpoint::Request<Req>, Response = Streaming<Res>, Error: Into<Error>>,
        Req: Send + 'static,
        Res: Send + 'static,
        PbReq: Message + Default + 'static,
        PbRes: Message + 'static,
    {
        self.mount(method, Kind::ServerStreaming, endpoint, One::new(decode), Each::new(encode))
    }

    /// Mounts a method with a stream of requests and a stream of responses.
    #[must_use]
    pub fn bidirectional<S, Req, Res, PbReq, PbRes>(
        self,
        method: &'static Method,
        endpoint: S,
        decode: impl Fn(PbReq) -> Result<Req, Error> + Send + Sync + 'static,
        encode: impl Fn(Res) -> Result<PbRes, Error> + Send + Sync + 'static,
    ) -> Self
    where
        S: Endpoint<Streaming<Req>>
            + Service<
                purlin_endpoint::Request<Streaming<Req>>,
                Response = Streaming<Res>,
                Error: Into<Error>,
            >,
        Req: Send + 'static,
        Res: Send + 'static,
        PbReq: Message + Default + 'static,
        PbRes: Message + 'static,
    {
        self.mount(method, Kind::Bidirectional, endpoint, Each::new(decode), Each::new(encode))
    }

    fn mount<S, D, E>(
        mut self,
        method: &'static Method,
        kind: Kind,
        endpoint: S,
        decode: Arc<D>,
        encode: Arc<E>,
    ) -> Self
    where
        D: Decode,
        S: Endpoint<D::Req> + Service<purlin_endpoint::Request<D::Req>, Error: Into<Error>>,
        E: Encode<S::Response>,
    {
        assert_eq!(method.kind(), kind, "{method} was declared as one of another kind");
        self.names.add(method.service());
        let routes = Arc::make_mut(&mut self.routes);
        let route: Arc<dyn Route> = Arc::new(Mounted::new(endpoint, decode, encode));
        let index = routes.list.len();
        routes.list.push((method, route));
        routes.index.insert(format!("/{method}").into(), index);
        self
    }
}

impl<F> Server<F> {
    fn set(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(Arc::make_mut(&mut self.options));
        self
    }

    /// Reads a call's metadata into its context, before its messages are read.
    ///
    /// Several run in the order in which they were given. An error is the call's answer, and the
    /// endpoint is not called.
    #[must_use]
    pub fn before(
        self,
        before: impl Fn(Context, &HeaderMap) -> Result<Context, Error> + Send + Sync + 'static,
    ) -> Self {
        self.set(|options| options.before.push(Arc::new(before)))
    }

    /// Adds headers and trailers to an answer, after the endpoint has answered and before its
    /// answer is encoded. Errors don't pass here: they carry what [`Context::reply`] was given.
    #[must_use]
    pub fn after(
        self,
        after: impl Fn(&Context, &mut HeaderMap, &mut HeaderMap) + Send + Sync + 'static,
    ) -> Self {
        self.set(|options| options.after.push(Arc::new(after)))
    }

    /// Sees every error that a call ends with, with its causes, before the caller does.
    ///
    /// Those that no layer has seen, since the request could not be decoded or was refused before,
    /// are [uncalled](Error::is_uncalled).
    #[must_use]
    pub fn error_handler(self, handle: impl Fn(&Context, &Error) + Send + Sync + 'static) -> Self {
        self.set(|options| options.error_handlers.push(Arc::new(handle)))
    }

    /// Sees the code that every call ends with: for a stream at its end, and `CANCELLED` for a call
    /// whose caller is gone.
    #[must_use]
    pub fn finalizer(self, finalize: impl Fn(&Context, Code) + Send + Sync + 'static) -> Self {
        self.set(|options| options.finalizers.push(Arc::new(finalize)))
    }

    /// The longest message of a request, in bytes, unpacked: 4 MiB unless set. A longer one is
    /// answered with `RESOURCE_EXHAUSTED`.
    #[must_use]
    pub fn max_request_message(self, bytes: usize) -> Self {
        self.set(|options| options.max_request_message = bytes)
    }

    /// The longest message of a response, in bytes, unpacked: 4 MiB unless set. In the place of a
    /// longer one goes `RESOURCE_EXHAUSTED`.
    #[must_use]
    pub fn max_response_message(self, bytes: usize) -> Self {
        self.set(|options| options.max_response_message = bytes)
    }

    /// Accepts messages packed with gzip, and packs those for callers that accept them. It is off
    /// unless set, and packed requests are answered with `UNIMPLEMENTED` then.
    ///
    /// A message that is longer than its limit once unpacked, or whose part of more than 512 KiB is
    /// packed by more than 100 to 1, is refused with `RESOURCE_EXHAUSTED`.
    #[must_use]
    pub fn gzip(self, gzip: bool) -> Self {
        self.set(|options| options.gzip = gzip)
    }

    /// The shortest message that is packed, in bytes: 1024 unless set.
    #[must_use]
    pub fn gzip_from(self, bytes: usize) -> Self {
        self.set(|options| options.gzip_from = bytes)
    }

    /// The longest deadline that a caller can ask for; longer ones become this. A call without a
    /// deadline stays without.
    #[must_use]
    pub fn max_timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.max_timeout = Some(timeout))
    }

    /// Believes what callers say of how much their calls matter. It is for servers whose callers
    /// are all known.
    #[must_use]
    pub fn trust_callers(self) -> Self {
        self.set(|options| options.trust_callers = true)
    }

    /// The metadata that carries the request id: `x-request-id` unless set.
    #[must_use]
    pub fn request_id_name(self, name: HeaderName) -> Self {
        self.set(|options| options.request_id_name = name)
    }

    /// The metadata that says how much a call matters: `x-criticality` unless set.
    #[must_use]
    pub fn criticality_name(self, name: HeaderName) -> Self {
        self.set(|options| options.criticality_name = name)
    }

    /// Gives all that is not gRPC to another HTTP service, so that both share one port.
    #[must_use]
    pub fn fallback<T>(self, fallback: T) -> Server<T> {
        let Self { routes, options, names, own, .. } = self;
        Server { routes, options, names, own, fallback }
    }
}

impl<F> fmt::Debug for Server<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods = self.routes.list.iter().map(|(method, _)| method.to_string());
        f.debug_struct("Server")
            .field("methods", &methods.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
