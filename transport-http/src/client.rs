//! Endpoints that call an HTTP service.

pub mod decode;
pub mod encode;
mod send;

use crate::{Body, Finished, HeaderNames, tail::Hooks};
use http::{Method, Uri};
use http_body::Body as HttpBody;
use purlin_endpoint::{BoxError, Call as _, Context, Error, Invalid, Request, Service};
#[cfg(feature = "client")]
pub use purlin_http_client::HttpClient;
use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
};

/// An HTTP service as an endpoint.
///
/// It works over any tower service from `http::Request<Body>` to an `http::Response`; the feature
/// `client` has one with a pool, `HttpClient`.
///
/// The context's deadline is sent along, and covers the whole exchange here, the body of the
/// response included. So are the request id, the attempt and the criticality. A response that is not
/// a success becomes the [`Error`] that it describes: a problem document's `code` is believed first,
/// then the status.
///
/// ```
/// use purlin_endpoint::{Context, Endpoint as _, Error};
/// use purlin_transport_http::{Body, Client, client::{decode, encode}};
///
/// #[derive(serde::Serialize)]
/// struct Greeting { name: &'static str }
///
/// # tokio_test::block_on(async {
/// // Any service will do; here it is one that answers with the query it was sent.
/// let http = tower::service_fn(|request: http::Request<Body>| async move {
///     let query = request.uri().query().unwrap_or_default().to_owned();
///     Ok::<_, Error>(http::Response::new(Body::from(query)))
/// });
/// let greeting = Client::new(
///     http,
///     http::Method::GET,
///     "http://127.0.0.1:9110/greeting",
///     encode::query,
///     decode::raw,
/// )?;
///
/// assert_eq!(greeting.invoke(Context::default(), Greeting { name: "Ann" }).await?, "name=Ann");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Client<H, E, D> {
    http: H,
    shared: Arc<Shared<E, D>>,
}

struct Shared<E, D> {
    method: Method,
    uri: Uri,
    encode: E,
    decode: D,
    options: Options,
}

type Before = Arc<dyn Fn(&Context, &mut http::request::Parts) -> Result<(), Error> + Send + Sync>;
type After = Arc<dyn Fn(&Context, &http::response::Parts) + Send + Sync>;

#[derive(Clone)]
struct Options {
    names: HeaderNames,
    body_limit: u64,
    before: Vec<Before>,
    after: Vec<After>,
    hooks: Arc<Hooks>,
}

impl<H, E, D> Client<H, E, D> {
    /// Calls this method of this URI.
    ///
    /// The URI is absolute. Its path may have placeholders, `/profiles/{id}`, that the encoder
    /// fills. The encoder is a function
    /// `(&Context, &mut http::Request<Body>, Req) -> Result<(), Error>`, the decoder an async
    /// function `(http::Response<Body>) -> Result<Res, Error>`; [`encode`] and [`decode`] have the
    /// usual ones.
    ///
    /// # Errors
    ///
    /// If the URI is not an absolute one.
    pub fn new<Req, Fut, Res>(
        http: H,
        method: Method,
        uri: impl AsRef<str>,
        encode: E,
        decode: D,
    ) -> Result<Self, Invalid>
    where
        E: Fn(&Context, &mut http::Request<Body>, Req) -> Result<(), Error>,
        D: Fn(http::Response<Body>) -> Fut,
        Fut: Future<Output = Result<Res, Error>> + Send,
    {
        let invalid = Invalid { field: "uri", why: "must be absolute, as in http://host:80/path" };
        let uri: Uri = uri.as_ref().parse().map_err(|_| invalid.clone())?;
        if uri.scheme().is_none() || uri.authority().is_none() {
            return Err(invalid);
        }
        let options = Options {
            names: HeaderNames::default(),
            body_limit: 2 * 1024 * 1024,
            before: Vec::new(),
            after: Vec::new(),
            hooks: Arc::default(),
        };
        Ok(Self { http, shared: Arc::new(Shared { method, uri, encode, decode, options }) })
    }
}

impl<H, E: Clone, D: Clone> Client<H, E, D> {
    fn option(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(&mut Arc::make_mut(&mut self.shared).options);
        self
    }

    /// Runs this on the head of a request that is encoded, behind those that were given before it.
    #[must_use]
    pub fn before(
        self,
        before: impl Fn(&Context, &mut http::request::Parts) -> Result<(), Error>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.option(|options| options.before.push(Arc::new(before)))
    }

    /// Runs this on the head of every response, behind those that were given before it.
    #[must_use]
    pub fn after(
        self,
        after: impl Fn(&Context, &http::response::Parts) + Send + Sync + 'static,
    ) -> Self {
        self.option(|options| options.after.push(Arc::new(after)))
    }

    /// Runs this when the exchange has ended, however it did: with the last byte of the response,
    /// with an error, or because the call was given up.
    #[must_use]
    pub fn finalizer(
        self,
        finalizer: impl Fn(&Context, &Finished) + Send + Sync + 'static,
    ) -> Self {
        self.option(|options| {
            Arc::make_mut(&mut options.hooks).finalizers.push(Arc::new(finalizer));
        })
    }

    /// How many bytes a response may have that is read as a whole. Default: 2 MiB. More are
    /// [`ResourceExhausted`](purlin_endpoint::Code::ResourceExhausted).
    #[must_use]
    pub fn body_limit(self, bytes: u64) -> Self {
        self.option(|options| options.body_limit = bytes)
    }

    /// The names of the headers that carry a call's facts.
    #[must_use]
    pub fn header_names(self, names: HeaderNames) -> Self {
        self.option(|options| options.names = names)
    }
}

impl<H: Clone, E, D> Clone for Client<H, E, D> {
    fn clone(&self) -> Self {
        Self { http: self.http.clone(), shared: self.shared.clone() }
    }
}

impl<E: Clone, D: Clone> Clone for Shared<E, D> {
    fn clone(&self) -> Self {
        Self {
            method: self.method.clone(),
            uri: self.uri.clone(),
            encode: self.encode.clone(),
            decode: self.decode.clone(),
            options: self.options.clone(),
        }
    }
}

impl<H, E, D> fmt::Debug for Client<H, E, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("method", &self.shared.method)
            .field("uri", &self.shared.uri)
            .finish_non_exhaustive()
    }
}

impl<H, E, D, Req, Fut, Res, B> Service<Request<Req>> for Client<H, E, D>
where
    H: Service<http::Request<Body>, Response = http::Response<B>, Error: Into<BoxError>>,
    H: Service<http::Request<Body>, Future: Send> + Clone + Send + 'static,
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
    E: Fn(&Context, &mut http::Request<Body>, Req) -> Result<(), Error> + Send + Sync + 'static,
    D: Fn(http::Response<Body>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Res, Error>> + Send + 'static,
    Req: Send + 'static,
    Res: 'static,
{
    type Response = Res;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Res, Error>> + Send>>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Error>> {
        self.http.poll_ready(task).map_err(send::failed)
    }

    fn call(&mut self, mut request: Request<Req>) -> Self::Future {
        let ending = request.claim_end();
        let Request { context, message, .. } = request;
        // The one that was polled ready is called; its clone is not ready yet.
        let clone = self.http.clone();
        let http = mem::replace(&mut self.http, clone);
        let shared = self.shared.clone();
        Box::pin(send::exchange(shared, http, context, message, ending))
    }
}
