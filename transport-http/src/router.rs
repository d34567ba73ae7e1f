use crate::{
    Body, problem,
    route::{BoxFuture, Copied, HttpService, Shared},
};
use http::{
    HeaderValue, Method, StatusCode,
    header::{ALLOW, CONTENT_LENGTH},
};
use http_body::Body as HttpBody;
use purlin_endpoint::{BoxError, Code, Error, RequestId, Service};
use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll, ready},
};

/// HTTP services by path and method.
///
/// A path is literal but for its parameters: `/profiles/{id}` matches one segment,
/// `/files/{*path}` the rest. [`decode::path`](crate::decode::path) reads them.
///
/// - An unknown path is answered with 404, or by the [`fallback`](Self::fallback).
/// - A known path with another method is answered with 405 and `Allow`.
/// - `HEAD` is answered by the service for `GET`, without the body.
/// - `OPTIONS` is answered with 204 and `Allow`.
///
/// A router is a [`Service`] for requests with any body. Its clones share their routes; a clone that
/// is called again and again, as by a connection, keeps a copy of each route that it uses.
///
/// ```
/// use http::{Request, StatusCode};
/// use purlin_endpoint::{Context, Error, endpoint_fn};
/// use purlin_transport_http::{Body, Router, Server, decode, encode};
/// use tower::ServiceExt as _;
///
/// # tokio_test::block_on(async {
/// let health = endpoint_fn(|_: Context, ()| async { Ok::<_, Error>("healthy") });
/// let router = Router::new().get("/health", Server::new(health, decode::no_request, encode::text));
///
/// let request = Request::post("/health").body(Body::empty())?;
/// let response = router.oneshot(request).await?;
/// assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
/// assert_eq!(response.headers()["allow"], "GET, HEAD, OPTIONS");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Default)]
pub struct Router {
    table: Arc<Table>,
    /// What this clone has of each route for itself, by the number of the route.
    own: Vec<Own>,
}

#[derive(Default)]
enum Own {
    #[default]
    Nothing,
    /// It was called once. Most clones that live for one call get no further.
    Called,
    Copy(Box<dyn Copied>),
}

#[derive(Clone, Default)]
struct Table {
    paths: matchit::Router<usize>,
    nodes: Vec<Node>,
    by_path: HashMap<Arc<str>, usize>,
    routes: Vec<Arc<dyn Shared>>,
    fallback: Option<usize>,
}

/// Why there is no route.
enum Missed {
    Path,
    /// The path is there, at this node.
    Method(usize),
}

/// The methods of one path.
#[derive(Clone)]
struct Node {
    template: Arc<str>,
    methods: Vec<(Method, usize)>,
}

/// The route that a request was matched to, as an extension of the request.
#[derive(Clone, Debug)]
pub struct MatchedRoute {
    template: Arc<str>,
    params: Vec<(String, String)>,
}

impl MatchedRoute {
    /// The path as it was given to the router, such as `/profiles/{id}`: a label that no caller can
    /// invent.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// The names and values of the path's parameters, still percent-encoded.
    pub(crate) fn params(&self) -> &[(String, String)] {
        &self.params
    }
}

impl Router {
    /// A router without routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves a method of a path.
    ///
    /// # Panics
    ///
    /// If the path is not one, is in conflict with another, or has this method already: a mistake
    /// of the program that shows when it starts.
    #[track_caller]
    #[must_use]
    pub fn route(mut self, method: Method, path: &str, service: impl HttpService) -> Self {
        Arc::make_mut(&mut self.table).add(method, path, Arc::new(service));
        self
    }

    /// Serves `GET` of a path, and `HEAD`.
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route) does.
    #[track_caller]
    #[must_use]
    pub fn get(self, path: &str, service: impl HttpService) -> Self {
        self.route(Method::GET, path, service)
    }

    /// Serves `POST` of a path.
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route) does.
    #[track_caller]
    #[must_use]
    pub fn post(self, path: &str, service: impl HttpService) -> Self {
        self.route(Method::POST, path, service)
    }

    /// Serves whatever no path matches.
    #[must_use]
    pub fn fallback(mut self, service: impl HttpService) -> Self {
        let table = Arc::make_mut(&mut self.table);
        table.fallback = Some(table.routes.len());
        table.routes.push(Arc::new(service));
        self
    }

    /// Adds all routes of another router, each path behind this prefix. Its fallback is left out.
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route) does.
    #[track_caller]
    #[must_use]
    pub fn nest(mut self, prefix: &str, inner: &Self) -> Self {
        let table = Arc::make_mut(&mut self.table);
        let prefix = prefix.trim_end_matches('/');
        for node in &inner.table.nodes {
            for (method, number) in &node.methods {
                let path = format!("{prefix}{}", node.template);
                table.add(method.clone(), &path, inner.table.routes[*number].clone());
            }
        }
        self
    }

    /// Calls a route: the clone's own copy of it, if that is ready.
    fn call_route(&mut self, number: usize, request: http::Request<Body>) -> BoxFuture {
        let Some(route) = self.table.routes.get(number) else {
            return Box::pin(std::future::ready(problem::respond(
                &Error::of(Code::Internal),
                None,
            )));
        };
        if self.own.len() != self.table.routes.len() {
            self.own.resize_with(self.table.routes.len(), Own::default);
        }
        match &mut self.own[number] {
            Own::Copy(copy) => copy.call(request),
            own @ Own::Called => {
                let mut copy = route.copy();
                let call = copy.call(request);
                *own = Own::Copy(copy);
                call
            }
            own @ Own::Nothing => {
                *own = Own::Called;
                route.call(request)
            }
        }
    }
}

impl Table {
    #[track_caller]
    fn add(&mut self, method: Method, path: &str, route: Arc<dyn Shared>) {
        let node = match self.by_path.get(path) {
            Some(node) => *node,
            None => {
                let node = self.nodes.len();
                if let Err(error) = self.paths.insert(path, node) {
                    panic!("the route `{path}` can't be added: {error}");
                }
                let template: Arc<str> = path.into();
                self.by_path.insert(template.clone(), node);
                self.nodes.push(Node { template, methods: Vec::new() });
                node
            }
        };
        let methods = &mut self.nodes[node].methods;
        assert!(
            methods.iter().all(|(known, _)| *known != method),
            "the route `{method} {path}` is there already",
        );
        methods.push((method, self.routes.len()));
        self.routes.push(route);
    }

    /// The number of the route for a request.
    fn find<B>(&self, request: &mut http::Request<B>) -> Result<usize, Missed> {
        let Ok(matched) = self.paths.at(request.uri().path()) else {
            return self.fallback.ok_or(Missed::Path);
        };
        let node = &self.nodes[*matched.value];
        let number = node.find(request.method()).ok_or(Missed::Method(*matched.value))?;
        let params = matched.params.iter();
        let params = params.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let route = MatchedRoute { template: node.template.clone(), params };
        request.extensions_mut().insert(route);
        Ok(number)
    }
}

impl Node {
    fn find(&self, method: &Method) -> Option<usize> {
        let find = |wanted: &Method| {
            self.methods.iter().find(|(known, _)| known == wanted).map(|(_, number)| *number)
        };
        find(method).or_else(|| (method == Method::HEAD).then(|| find(&Method::GET)).flatten())
    }

    /// Answers a method that nobody serves here.
    fn refuse<B>(&self, request: &http::Request<B>) -> http::Response<Body> {
        let mut response = if request.method() == Method::OPTIONS {
            let mut response = http::Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        } else {
            let error = Error::of(Code::Unimplemented)
                .public("this path does not have that method")
                .attach(StatusCode::METHOD_NOT_ALLOWED);
            respond(&error, request)
        };
        if let Ok(allow) = HeaderValue::try_from(self.allow()) {
            response.headers_mut().insert(ALLOW, allow);
        }
        response
    }

    fn allow(&self) -> String {
        let mut allowed: Vec<_> = self.methods.iter().map(|(method, _)| method.as_str()).collect();
        for implied in ["HEAD", "OPTIONS"] {
            if !allowed.contains(&implied) && (implied != "HEAD" || allowed.contains(&"GET")) {
                allowed.push(implied);
            }
        }
        allowed.join(", ")
    }
}

fn not_found<B>(request: &http::Request<B>) -> http::Response<Body> {
    respond(&Error::of(Code::NotFound).public("there is nothing at this path"), request)
}

fn respond<B>(error: &Error, request: &http::Request<B>) -> http::Response<Body> {
    let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok());
    problem::respond(error, id.filter(|id| id.parse::<RequestId>().is_ok()))
}

impl Clone for Router {
    fn clone(&self) -> Self {
        Self { table: self.table.clone(), own: Vec::new() }
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = self.table.nodes.iter().map(|node| (&node.template, node.allow()));
        f.debug_map().entries(routes).finish()
    }
}

impl<B> Service<http::Request<B>> for Router
where
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Routing;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<B>) -> Routing {
        let head_only = request.method() == Method::HEAD;
        let state = match self.table.find(&mut request) {
            Ok(number) => State::Called(self.call_route(number, request.map(Body::new))),
            Err(Missed::Path) => State::Answered(Some(not_found(&request))),
            Err(Missed::Method(node)) => {
                State::Answered(Some(self.table.nodes[node].refuse(&request)))
            }
        };
        Routing { state, head_only }
    }
}

/// The future of a [`Router`]: it becomes the response, and never fails.
pub struct Routing {
    state: State,
    head_only: bool,
}

enum State {
    Called(BoxFuture),
    Answered(Option<http::Response<Body>>),
}

impl Future for Routing {
    type Output = Result<http::Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        let mut response = match &mut self.state {
            State::Called(call) => ready!(call.as_mut().poll(task)),
            State::Answered(response) => match response.take() {
                Some(response) => response,
                None => panic!("`Routing` polled after its end"),
            },
        };
        if self.head_only {
            strip(&mut response);
        }
        Poll::Ready(Ok(response))
    }
}

/// Takes the body away and says how long it would have been.
fn strip(response: &mut http::Response<Body>) {
    if let Some(length) = response.body().size_hint().exact()
        && !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        && !response.headers().contains_key(CONTENT_LENGTH)
    {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response.body_mut().discard();
}

impl fmt::Debug for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routing").finish_non_exhaustive()
    }
}
