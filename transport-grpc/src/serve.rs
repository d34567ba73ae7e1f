//! How a request becomes a call.

use crate::{
    body::Body,
    details,
    frame::{AnyBody, Frames, Reading, any_body},
    gzip::Announced,
    options::{Finish, Options},
    respond::{Head, Responding, Serving},
    route::Incoming,
    server::Server,
    timeout,
    timer::{Timer, expired},
};
use bytes::Buf;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
    request::Parts,
};
use purlin_endpoint::{
    BoxError, Code, Context, Criticality, Error, Identity, Method, Peer, Reply, RequestId, Service,
    catch_panic,
};
use std::{
    convert::Infallible,
    future::{Ready, poll_fn, ready},
    task::{Context as Task, Poll},
    time::Duration,
};
use tokio::time::Instant;

pub(crate) const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
pub(crate) const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
pub(crate) const ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");
pub(crate) const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub(crate) const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// Answers what is not gRPC, where no other service does: 415.
#[derive(Clone, Copy, Debug)]
pub struct Unserved(());

impl Unserved {
    pub(crate) const fn new() -> Self {
        Self(())
    }
}

impl<B> Service<http::Request<B>> for Unserved {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<B>) -> Self::Future {
        ready(Ok(not_grpc()))
    }
}

fn not_grpc() -> http::Response<Body> {
    let text = bytes::Bytes::from_static(b"This port speaks gRPC: application/grpc\n");
    let mut response = http::Response::new(Body::one(text, None));
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// What a content type says.
pub(crate) enum ContentType {
    Protobuf,
    /// gRPC with messages of another kind.
    OtherCodec,
    Other,
}

impl ContentType {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let value = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        // The one that everybody sends.
        if value == GRPC.as_bytes() {
            return Self::Protobuf;
        }
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        match essence.to_ascii_lowercase().strip_prefix(b"application/grpc") {
            Some(b"" | b"+proto") => Self::Protobuf,
            Some([b'+', ..]) => Self::OtherCodec,
            _ => Self::Other,
        }
    }
}

impl<B, F, FB> Service<http::Request<B>> for Server<F>
where
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    F: Service<http::Request<B>, Response = http::Response<FB>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
    FB: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Responding;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        // Each call waits for its own endpoint.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Responding {
        match ContentType::of(request.headers()) {
            ContentType::Protobuf if request.method() == http::Method::POST => {}
            ContentType::Protobuf => return Responding::now(not_post()),
            ContentType::OtherCodec => return Responding::now(not_grpc()),
            ContentType::Other => return elsewhere(self.fallback.clone(), request),
        }
        let (parts, body) = request.into_parts();
        let body = any_body(body);
        catch_panic(|| self.begin(&parts, body)).unwrap_or_else(|panicked| {
            let context = Context::new();
            Responding::now(Head::new(&context, self.options()).failed(&context, &panicked.into()))
        })
    }
}

/// Only POST carries a call.
fn not_post() -> http::Response<Body> {
    let error = Error::of(Code::Internal).public("a call is a POST");
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(ALLOW, HeaderValue::from_static("POST"));
    details::write_error(&mut headers, &Context::new(), &error);
    let mut response = http::Response::new(Body::empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    *response.headers_mut() = headers;
    response
}

fn elsewhere<B, F, FB>(mut fallback: F, request: http::Request<B>) -> Responding
where
    B: Send + 'static,
    F: Service<http::Request<B>, Response = http::Response<FB>, Error = Infallible, Future: Send>
        + Send
        + 'static,
    FB: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    Responding::elsewhere(Box::pin(async move {
        let Ok(()) = poll_fn(|task| fallback.poll_ready(task)).await;
        let Ok(response) = fallback.call(request).await;
        response.map(|body| Body::other(any_body(body)))
    }))
}

impl<F> Server<F> {
    fn options(&self) -> &Options {
        &self.options
    }

    /// Reads the head of a call, and begins it or refuses it.
    fn begin(&mut self, parts: &Parts, body: AnyBody) -> Responding {
        let started = Instant::now();
        let options = self.options.clone();
        let route = self.own.route(&self.routes, parts.uri.path());
        let context = read_context(parts, route.as_ref().map(|(method, _)| *method), &options);
        let mut head = Head::new(&context, &options);
        let admitted = admit(context.clone(), &parts.headers, &options, started);
        let (context, admitted) = match admitted {
            Ok(context) => (context, Ok(())),
            Err(error) => (context, Err(error)),
        };
        let mut finish = Finish::new(options.clone(), context.clone());
        let begun = admitted.and_then(|()| {
            let (_, route) = route.ok_or_else(|| unknown(parts.uri.path()))?;
            Ok((route, reading(&parts.headers, &options)?))
        });
        match begun {
            Ok((route, reading)) => {
                let writing = head.writing(&parts.headers, &options);
                let frames = Frames::new(body, reading);
                let timer = Timer::until(context.deadline());
                let incoming = Incoming { context, started, frames, writing, options };
                Responding::serving(Serving { work: route.call(incoming), timer, head, finish })
            }
            Err(error) => {
                let error = error.uncalled();
                finish.fail(&error);
                Responding::now(head.failed(finish.context(), &error))
            }
        }
    }
}

fn unknown(path: &str) -> Error {
    Error::of(Code::Unimplemented).public(format!("there is no method {path}"))
}

/// What the head of a call says.
fn read_context(parts: &Parts, method: Option<&'static Method>, options: &Options) -> Context {
    let headers = &parts.headers;
    let mut context = Context::new()
        .with_reply(Reply::open())
        .with_request_id(request_id(headers, options))
        .with_attempt(number(headers, &ATTEMPTS).unwrap_or(0));
    if let Some(method) = method {
        context = context.with_method(method);
    }
    if let Some(peer) = parts.extensions.get::<Peer>() {
        context = context.with_peer(peer.clone());
    }
    if let Some(identity) = parts.extensions.get::<Identity>() {
        context = context.with_peer_identity(identity.clone());
    }
    if let Some(criticality) = criticality(headers, options) {
        context = context.with_criticality(criticality);
    }
    context
}

/// Sets the deadline, and runs what the user has put in front of the call.
fn admit(
    mut context: Context,
    headers: &HeaderMap,
    options: &Options,
    started: Instant,
) -> Result<Context, Error> {
    if let Some(timeout) = timeout(headers, options)? {
        if timeout.is_zero() {
            return Err(expired());
        }
        // A time too far away to be told is as good as none.
        if let Some(deadline) = started.checked_add(timeout) {
            context = context.with_deadline(deadline);
        }
    }
    for before in &options.before {
        context = before(context, headers)?;
    }
    Ok(context)
}

fn timeout(headers: &HeaderMap, options: &Options) -> Result<Option<Duration>, Error> {
    let mut values = headers.get_all(TIMEOUT).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match timeout::parse(value.as_bytes()) {
        Ok(timeout) if values.next().is_none() => {
            Ok(Some(options.max_timeout.map_or(timeout, |longest| timeout.min(longest))))
        }
        // Whoever set a deadline that nobody understands must not wait for ever.
        _ => Err(Error::of(Code::Internal).public("grpc-timeout is malformed")),
    }
}

fn reading(headers: &HeaderMap, options: &Options) -> Result<Reading, Error> {
    let gzip = match Announced::of(headers.get(ENCODING)) {
        Announced::Identity => false,
        Announced::Gzip if options.gzip => true,
        Announced::Gzip | Announced::Unknown => {
            return Err(Error::of(Code::Unimplemented)
                .public("the messages are packed in a way that is not accepted here"));
        }
    };
    let broken =
        |error| Error::of(Code::Cancelled).public("the request broke off").caused_by(error);
    Ok(Reading { limit: options.max_request_message, gzip, broken })
}

fn request_id(headers: &HeaderMap, options: &Options) -> RequestId {
    let given = headers.get(&options.request_id_name).and_then(|value| value.to_str().ok());
    given.and_then(|text| text.parse().ok()).unwrap_or_else(RequestId::generate)
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u32> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

fn criticality(headers: &HeaderMap, options: &Options) -> Option<Criticality> {
    let value = headers.get(&options.criticality_name).filter(|_| options.trust_callers)?;
    Criticality::parse(value.to_str().ok()?)
}
