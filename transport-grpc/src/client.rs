use crate::{
    options::{GZIP_FROM, MESSAGE_LIMIT},
    route::{Each, One},
};
use http::{HeaderMap, HeaderName, Uri, uri};
use prost::Message;
use purlin_endpoint::{Context, Error, Kind, Method};
use std::{fmt, sync::Arc};

type Before = dyn Fn(&Context, &mut HeaderMap) -> Result<(), Error> + Send + Sync;
type After = dyn Fn(&Context, &HeaderMap, &HeaderMap) + Send + Sync;

/// One gRPC method of a server, as an endpoint.
///
/// It calls through any tower service over `http::Request` that can be cloned: the crate's own
/// channel, hyper's, tonic's, or a server in the same process. Put a function around a channel
/// whose requests have a body of their own: `channel.map_request(|request| request.map(…))`.
///
/// The deadline of the context goes along and is kept here too, until the last message of a stream;
/// the request id, the attempt and the criticality go along. Dropping the call, or the stream that
/// it returned, cancels it on the server.
///
/// It fails with what the server said, details included. Where the server can't be reached, or the
/// connection breaks, that is `UNAVAILABLE`; the error says [`unreached`](Error::is_unreached) if
/// the server has certainly not begun.
pub struct Client<C, O, I> {
    pub(crate) channel: C,
    pub(crate) encode: Arc<O>,
    pub(crate) decode: Arc<I>,
    pub(crate) options: Arc<ClientOptions>,
}

#[derive(Clone)]
pub(crate) struct ClientOptions {
    pub(crate) method: &'static Method,
    pub(crate) uri: Uri,
    pub(crate) max_request_message: usize,
    pub(crate) max_response_message: usize,
    pub(crate) gzip: bool,
    pub(crate) gzip_from: usize,
    pub(crate) request_id_name: HeaderName,
    pub(crate) criticality_name: HeaderName,
    pub(crate) before: Vec<Arc<Before>>,
    pub(crate) after: Vec<Arc<After>>,
}

/// Chooses among the four constructors by what they make; nothing has this type.
#[doc(hidden)]
pub enum Unnamed {}

impl Client<Unnamed, Unnamed, Unnamed> {
    /// A method with one request and one response.
    ///
    /// # Panics
    ///
    /// If the method was declared as one of another kind, which only a mistake in the program can
    /// do; so do the other three.
    pub fn unary<C, E, D, Req, Res, PbReq, PbRes>(
        channel: C,
        method: &'static Method,
        encode: E,
        decode: D,
    ) -> Client<C, One<E, PbReq>, One<D, PbRes>>
    where
        E: Fn(Req) -> Result<PbReq, Error>,
        D: Fn(PbRes) -> Result<Res, Error>,
        PbReq: Message,
        PbRes: Message + Default,
    {
        Client::of(channel, method, Kind::Unary, One::new(encode), One::new(decode))
    }

    /// A method with a stream of requests and one response.
    pub fn client_streaming<C, E, D, Req, Res, PbReq, PbRes>(
        channel: C,
        method: &'static Method,
        encode: E,
        decode: D,
    ) -> Client<C, Each<E, PbReq>, One<D, PbRes>>
    where
        E: Fn(Req) -> Result<PbReq, Error>,
        D: Fn(PbRes) -> Result<Res, Error>,
        PbReq: Message,
        PbRes: Message + Default,
    {
        Client::of(channel, method, Kind::ClientStreaming, Each::new(encode), One::new(decode))
    }

    /// A method with one request and a stream of responses.
    pub fn server_streaming<C, E, D, Req, Res, PbReq, PbRes>(
        channel: C,
        method: &'static Method,
        encode: E,
        decode: D,
    ) -> Client<C, One<E, PbReq>, Each<D, PbRes>>
    where
        E: Fn(Req) -> Result<PbReq, Error>,
        D: Fn(PbRes) -> Result<Res, Error>,
        PbReq: Message,
        PbRes: Message + Default,
    {
        Client::of(channel, method, Kind::ServerStreaming, One::new(encode), Each::new(decode))
    }

    /// A method with a stream of requests and a stream of responses.
    pub fn bidirectional<C, E, D, Req, Res, PbReq, PbRes>(
        channel: C,
        method: &'static Method,
        encode: E,
        decode: D,
    ) -> Client<C, Each<E, PbReq>, Each<D, PbRes>>
    where
        E: Fn(Req) -> Result<PbReq, Error>,
        D: Fn(PbRes) -> Result<Res, Error>,
        PbReq: Message,
        PbRes: Message + Default,
    {
        Client::of(channel, method, Kind::Bidirectional, Each::new(encode), Each::new(decode))
    }
}

impl<C, O, I> Client<C, O, I> {
    fn of(channel: C, method: &'static Method, kind: Kind, encode: Arc<O>, decode: Arc<I>) -> Self {
        assert_eq!(method.kind(), kind, "{method} was declared as one of another kind");
        let options = Arc::new(ClientOptions {
            method,
            uri: target(&Uri::default(), method),
            max_request_message: MESSAGE_LIMIT,
            max_response_message: MESSAGE_LIMIT,
            gzip: false,
            gzip_from: GZIP_FROM,
            request_id_name: HeaderName::from_static("x-request-id"),
            criticality_name: HeaderName::from_static("x-criticality"),
            before: Vec::new(),
            after: Vec::new(),
        });
        Self { channel, encode, decode, options }
    }

    fn set(mut self, set: impl FnOnce(&mut ClientOptions)) -> Self {
        set(Arc::make_mut(&mut self.options));
        self
    }

    /// The scheme and authority that requests name: `http://localhost` unless set, which is enough
    /// for a channel that knows where it leads.
    #[must_use]
    pub fn origin(self, origin: &Uri) -> Self {
        self.set(|options| options.uri = target(origin, options.method))
    }

    /// Writes metadata of a call, before it is sent. An error is the call's outcome, and nothing is
    /// sent.
    #[must_use]
    pub fn before(
        self,
        before: impl Fn(&Context, &mut HeaderMap) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Self {
        self.set(|options| options.before.push(Arc::new(before)))
    }

    /// Reads the headers and trailers of a response, at its end, whether it is an error or not. A
    /// response that is nothing but an error has trailers only.
    #[must_use]
    pub fn after(
        self,
        after: impl Fn(&Context, &HeaderMap, &HeaderMap) + Send + Sync + 'static,
    ) -> Self {
        self.set(|options| options.after.push(Arc::new(after)))
    }

    /// The longest message of a request, in bytes: 4 MiB unless set. A longer one is not sent, and
    /// the call is `RESOURCE_EXHAUSTED`.
    #[must_use]
    pub fn max_request_message(self, bytes: usize) -> Self {
        self.set(|options| options.max_request_message = bytes)
    }

    /// The longest message of a response, in bytes, unpacked: 4 MiB unless set. At a longer one the
    /// call is given up with `RESOURCE_EXHAUSTED`.
    #[must_use]
    pub fn max_response_message(self, bytes: usize) -> Self {
        self.set(|options| options.max_response_message = bytes)
    }

    /// Packs requests with gzip and accepts packed responses. It is off unless set, as a server
    /// that knows no gzip refuses packed requests. Responses have the limits that
    /// [`Server::gzip`](crate::Server::gzip) tells of.
    #[must_use]
    pub fn gzip(self, gzip: bool) -> Self {
        self.set(|options| options.gzip = gzip)
    }

    /// The shortest message that is packed, in bytes: 1024 unless set.
    #[must_use]
    pub fn gzip_from(self, bytes: usize) -> Self {
        self.set(|options| options.gzip_from = bytes)
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
}

/// The URI of a method at an origin.
fn target(origin: &Uri, method: &Method) -> Uri {
    let mut parts = uri::Parts::default();
    parts.scheme = Some(origin.scheme().cloned().unwrap_or(uri::Scheme::HTTP));
    let authority = origin.authority().cloned();
    parts.authority = Some(authority.unwrap_or(uri::Authority::from_static("localhost")));
    parts.path_and_query = format!("/{method}").parse().ok();
    Uri::from_parts(parts).unwrap_or_default()
}

impl<C: Clone, O, I> Clone for Client<C, O, I> {
    fn clone(&self) -> Self {
        let Self { channel, encode, decode, options } = self;
        Self {
            channel: channel.clone(),
            encode: encode.clone(),
            decode: decode.clone(),
            options: options.clone(),
        }
    }
}

impl<C, O, I> fmt::Debug for Client<C, O, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("uri", &self.options.uri).finish_non_exhaustive()
    }
}
