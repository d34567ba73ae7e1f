use crate::{
    Body, Finished, HeaderNames,
    exchange::Exchange,
    options::Options,
    serving::{Serving, State},
};
use http::{HeaderMap, request::Parts};
use http_body::Body as HttpBody;
use purlin_endpoint::{BoxError, Context, Endpoint, Error, Method, Panicked, Service, catch_panic};
use std::{
    convert::Infallible,
    fmt, mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context as Task, Poll, Waker},
    time::Duration,
};

/// Makes a message of an HTTP request.
///
/// Every async function `(Context, http::Request<Body>) -> Result<Message, Error>` is one, so this
/// is not implemented by hand. [`decode`](crate::decode) has the usual ones.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't decode an HTTP request",
    note = "a decoder is an async function `(Context, http::Request<Body>) -> Result<Message, Error>` that is `Clone + Send + Sync + 'static` and whose future is `Send`"
)]
pub trait Decode: Clone + Send + Sync + 'static {
    /// What it makes.
    type Message: Send + 'static;
    /// The future that makes it.
    type Future: Future<Output = Result<Self::Message, Error>> + Send + 'static;

    /// Decodes a request.
    fn decode(&self, context: Context, request: http::Request<Body>) -> Self::Future;
}

impl<F, Fut, Message> Decode for F
where
    F: Fn(Context, http::Request<Body>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Message, Error>> + Send + 'static,
    Message: Send + 'static,
{
    type Message = Message;
    type Future = Fut;

    fn decode(&self, context: Context, request: http::Request<Body>) -> Fut {
        self(context, request)
    }
}

/// An endpoint as an HTTP service.
///
/// It is a [`Service`] for requests with any body and never fails, so it can be mounted in our
/// [`Router`](crate::Router), in one of axum, under layers of tower-http, or served by itself.
///
/// In this order it runs the functions given to [`before`](Self::before), the decoder, the endpoint,
/// those given to [`after`](Self::after), the encoder, and, when the last byte has been sent, those
/// given to [`finalizer`](Self::finalizer). Where one of the first five fails, the rest of them is
/// skipped: the error goes to [`error_handler`](Self::error_handler) and
/// [`error_encoder`](Self::error_encoder). A panic in any of them is an internal error.
pub struct Server<S, D: Decode, E> {
    endpoint: S,
    decode: D,
    encode: E,
    options: Arc<Options>,
    own: Own,
    /// Why the endpoint can't be called, as it said when it was asked.
    unready: Option<Error>,
    /// Where requests are decoded. Behind a lock that is never taken, so that a server can be shared
    /// though a decoding can't.
    bench: Mutex<Bench<D::Future>>,
}

/// A place for a decoding that outlives it, so that most calls need none of their own.
pub(crate) type Bench<F> = Option<Pin<Box<Option<F>>>>;

/// Whether the options are this clone's own. Sharing them, every call would write to a reference
/// count that all cores write to.
#[derive(Clone, Copy)]
enum Own {
    No,
    /// It was called once. Most clones that live for one call get no further.
    Called,
    Yes,
}

impl<S, D: Decode, E> Server<S, D, E> {
    /// Serves this endpoint.
    ///
    /// The decoder is an async function `(Context, http::Request<Body>) -> Result<Req, Error>`, the
    /// encoder a function `(&Context, Res) -> Result<http::Response<Body>, Error>`.
    pub fn new<Fut, Req>(endpoint: S, decode: D, encode: E) -> Self
    where
        S: Endpoint<Req, Error: Into<Error>>,
        D: Fn(Context, http::Request<Body>) -> Fut + Decode<Message = Req>,
        Fut: Future<Output = Result<Req, Error>> + Send + 'static,
        E: Fn(&Context, S::Response) -> Result<http::Response<Body>, Error>,
    {
        Self {
            endpoint,
            decode,
            encode,
            options: Arc::default(),
            own: Own::No,
            unready: None,
            bench: Mutex::new(None),
        }
    }

    fn option(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(Arc::make_mut(&mut self.options));
        self
    }

    /// Names the method that the endpoint is. If its response is a stream, the call lasts until the
    /// last byte of the response.
    #[must_use]
    pub fn method(self, method: &'static Method) -> Self {
        self.option(|options| options.method = Some(method))
    }

    /// Runs this before the decoder, behind those that were given before it.
    ///
    /// It sees the head of the request, and makes the context that the rest sees.
    #[must_use]
    pub fn before(
        self,
        before: impl Fn(Context, &Parts) -> Result<Context, Error> + Send + Sync + 'static,
    ) -> Self {
        self.option(|options| options.before.push(Arc::new(before)))
    }

    /// Runs this between the endpoint and the encoder, behind those that were given before it.
    ///
    /// It may add headers. Where the encoder sets the same, the encoder's stay.
    #[must_use]
    pub fn after(self, after: impl Fn(&Context, &mut HeaderMap) + Send + Sync + 'static) -> Self {
        self.option(|options| options.after.push(Arc::new(after)))
    }

    /// Encodes errors with this in place of [`problem`](crate::encode::problem).
    #[must_use]
    pub fn error_encoder(
        self,
        encoder: impl Fn(&Context, &Error) -> http::Response<Body> + Send + Sync + 'static,
    ) -> Self {
        self.option(|options| options.error_encoder = Some(Arc::new(encoder)))
    }

    /// Shows every error to this, also one that breaks off a stream. It can't change the response.
    ///
    /// Those that no layer has seen, since the request could not be decoded or was refused before,
    /// are [uncalled](Error::is_uncalled).
    #[must_use]
    pub fn error_handler(self, handler: impl Fn(&Context, &Error) + Send + Sync + 'static) -> Self {
        self.option(|options| {
            Arc::make_mut(&mut options.hooks).error_handlers.push(Arc::new(handler));
        })
    }

    /// Runs this when the exchange has ended, however it did: with its last byte, with an error, or
    /// because the caller left.
    #[must_use]
    pub fn finalizer(
        self,
        finalizer: impl Fn(&Context, &Finished) + Send + Sync + 'static,
    ) -> Self {
        self.option(|options| {
            Arc::make_mut(&mut options.hooks).finalizers.push(Arc::new(finalizer));
        })
    }

    /// How many bytes a request's body may have. Default: 2 MiB. More are answered with 413.
    #[must_use]
    pub fn body_limit(self, bytes: u64) -> Self {
        self.option(|options| options.body_limit = bytes)
    }

    /// How long a request's body may pause. Default: 10 s. A longer pause is answered with 408;
    /// [`Duration::MAX`] allows any.
    #[must_use]
    pub fn body_idle(self, patience: Duration) -> Self {
        self.option(|options| options.body_idle = patience)
    }

    /// How long a call may take, the body of its response included, whatever its caller asks for.
    /// Default: as long as its caller asks for, or for ever.
    #[must_use]
    pub fn max_timeout(self, timeout: Duration) -> Self {
        self.option(|options| options.max_timeout = Some(timeout))
    }

    /// Believes callers how much their calls matter. Without this all calls matter alike.
    #[must_use]
    pub fn trust_callers(self) -> Self {
        self.option(|options| options.trusts_callers = true)
    }

    /// The names of the headers that carry a call's facts.
    #[must_use]
    pub fn header_names(self, names: HeaderNames) -> Self {
        self.option(|options| options.names = names)
    }

    fn own_options(&mut self) -> &Arc<Options> {
        match self.own {
            Own::No => self.own = Own::Called,
            Own::Called => {
                self.options = Arc::new(Options::clone(&self.options));
                self.own = Own::Yes;
            }
            Own::Yes => {}
        }
        &self.options
    }
}

impl<S: Clone, D: Decode, E: Clone> Clone for Server<S, D, E> {
    fn clone(&self) -> Self {
        Self {
            endpoint: self.endpoint.clone(),
            decode: self.decode.clone(),
            encode: self.encode.clone(),
            options: self.options.clone(),
            own: Own::No,
            unready: None,
            bench: Mutex::new(None),
        }
    }
}

impl<S, D: Decode, E> fmt::Debug for Server<S, D, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<S, D, E, B> Service<http::Request<B>> for Server<S, D, E>
where
    S: Endpoint<D::Message, Error: Into<Error>>,
    D: Decode,
    E: Fn(&Context, S::Response) -> Result<http::Response<Body>, Error> + Clone,
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Serving<S, D, E>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        self.unready = match catch_panic(|| self.endpoint.poll_ready(task)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(()))) => None,
            Ok(Poll::Ready(Err(error))) => Some(error.into()),
            Err(panicked) => Some(panicked.into()),
        };
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<B>) -> Serving<S, D, E> {
        let mut exchange = Exchange::new(self.own_options().clone(), &mut request);
        let begun = catch_panic(|| self.begin(&mut exchange, request));
        let state = match begun.map_err(Panicked::into).flatten() {
            Ok(state) => state,
            Err(error) => {
                // It was asked whether it is ready, and may keep a place for the call that does not
                // come: its clone does not.
                self.endpoint = self.endpoint.clone();
                State::Failed { error: Some(error) }
            }
        };
        Serving::new(state, exchange, self.encode.clone())
    }
}

impl<S, D, E> Server<S, D, E>
where
    S: Endpoint<D::Message, Error: Into<Error>>,
    D: Decode,
{
    /// Decodes, and calls the endpoint if that is done at once.
    fn begin<B>(
        &mut self,
        exchange: &mut Exchange,
        request: http::Request<B>,
    ) -> Result<State<S, D>, Error>
    where
        B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let mut request = request.map(Body::new);
        exchange.admit(&mut request)?;
        exchange.before(&mut request)?;
        if let Some(error) = self.unready.take() {
            return Err(error);
        }
        let bench = self.bench.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut place = bench.take().unwrap_or_else(|| Box::pin(None));
        place.set(Some(self.decode.decode(exchange.context.clone(), request)));
        // Whoever polls the call polls this again, so nobody need be woken.
        match poll_place(&mut place, &mut Task::from_waker(Waker::noop())) {
            Poll::Ready(message) => {
                place.set(None);
                *bench = Some(place);
                let request = exchange.request(message?);
                Ok(State::Calling { call: self.endpoint.call(request) })
            }
            Poll::Pending => {
                // The one that was asked whether it is ready goes, its clone stays.
                let clone = self.endpoint.clone();
                let endpoint = mem::replace(&mut self.endpoint, clone);
                Ok(State::Decoding { place, endpoint })
            }
        }
    }
}

pub(crate) fn poll_place<F: Future>(
    place: &mut Pin<Box<Option<F>>>,
    task: &mut Task<'_>,
) -> Poll<F::Output> {
    match place.as_mut().as_pin_mut() {
        Some(decoding) => decoding.poll(task),
        None => Poll::Pending,
    }
}
