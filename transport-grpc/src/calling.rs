//! How a client's endpoint makes a call.

use crate::{
    body::{Body, Producer},
    broken::{Broken, Waiting, Watched},
    client::{Client, ClientOptions},
    details,
    frame::{Frames, Reading, Writing, any_body},
    gzip::Announced,
    responses::{Reply, Responses},
    route::{Each, One},
    serve::{ACCEPT_ENCODING, ATTEMPTS, ContentType, ENCODING, GRPC, TIMEOUT},
    status, timeout,
    timer::{Timer, expired},
};
use bytes::{Buf, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, TE, USER_AGENT},
};
use prost::Message;
use purlin_endpoint::{
    BoxError, Call as _, Code, Context, Criticality, Ending, Error, Request, Service, Streaming,
};
use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
};
use tokio::time::Instant;

const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("grpc-rust-purlin/", env!("CARGO_PKG_VERSION")));

/// How a request becomes the body that is sent.
#[doc(hidden)]
pub trait Outgoing<Req>: Send + Sync + 'static {
    #[doc(hidden)]
    fn body(self: &Arc<Self>, request: Req, sending: Sending) -> Result<Body, Error>;
}

/// How what came back becomes a response.
#[doc(hidden)]
pub trait Ingoing: Send + Sync + 'static {
    #[doc(hidden)]
    type Res: Send + 'static;

    #[doc(hidden)]
    fn response(
        self: Arc<Self>,
        received: Received,
    ) -> impl Future<Output = Result<Self::Res, Error>> + Send;

    #[doc(hidden)]
    const STREAMS: bool;
}

/// What an encoder needs to know.
#[doc(hidden)]
pub struct Sending {
    writing: Writing,
    broken: Broken,
}

/// What a decoder gets.
#[doc(hidden)]
pub struct Received {
    reply: Reply,
    timer: Timer,
    ending: Option<Ending>,
}

impl<F, Req, Pb> Outgoing<Req> for One<F, Pb>
where
    F: Fn(Req) -> Result<Pb, Error> + Send + Sync + 'static,
    Pb: Message + 'static,
{
    fn body(self: &Arc<Self>, request: Req, sending: Sending) -> Result<Body, Error> {
        let mut out = BytesMut::new();
        sending.writing.write(&self.apply(request)?, &mut out)?;
        Ok(Body::one(out.freeze(), None))
    }
}

impl<F, Req, Pb> Outgoing<Streaming<Req>> for Each<F, Pb>
where
    F: Fn(Req) -> Result<Pb, Error> + Send + Sync + 'static,
    Pb: Message + 'static,
    Req: Send + 'static,
{
    fn body(self: &Arc<Self>, stream: Streaming<Req>, sending: Sending) -> Result<Body, Error> {
        let each = self.clone();
        let encode = move |message| each.apply(message);
        let messages = Producer { stream, encode, writing: sending.writing };
        Ok(Body::request(Box::new(Watched { messages: Some(messages), broken: sending.broken })))
    }
}

fn parse<Pb: Message + Default>(message: Bytes) -> Result<Pb, Error> {
    Pb::decode(message).map_err(|error| {
        Error::of(Code::Internal)
            .public("the response is not a message of this method")
            .caused_by(error)
    })
}

impl<F, Res, Pb> Ingoing for One<F, Pb>
where
    F: Fn(Pb) -> Result<Res, Error> + Send + Sync + 'static,
    Pb: Message + Default + 'static,
    Res: Send + 'static,
{
    type Res = Res;
    const STREAMS: bool = false;

    async fn response(self: Arc<Self>, received: Received) -> Result<Res, Error> {
        let Received { mut reply, mut timer, .. } = received;
        let message = timer.limit(reply.only()).await?;
        self.apply(parse(message)?)
    }
}

impl<F, Res, Pb> Ingoing for Each<F, Pb>
where
    F: Fn(Pb) -> Result<Res, Error> + Send + Sync + 'static,
    Pb: Message + Default + 'static,
    Res: Send + 'static,
{
    type Res = Streaming<Res>;
    const STREAMS: bool = true;

    async fn response(self: Arc<Self>, received: Received) -> Result<Streaming<Res>, Error> {
        let Received { mut reply, timer, ending } = received;
        // An error that comes alone is the call's outcome, and not the first of a stream.
        reply.only_error()?;
        let decode = move |message| self.apply(parse(message)?);
        Ok(Streaming::new(Responses::new(reply, timer, decode)).ending(ending))
    }
}

impl<C, O, I, Req, B> Service<Request<Req>> for Client<C, O, I>
where
    C: Service<
            http::Request<Body>,
            Response = http::Response<B>,
            Error: Into<BoxError>,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static,
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    O: Outgoing<Req>,
    I: Ingoing,
    Req: Send + 'static,
{
    type Response = I::Res;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<I::Res, Error>> + Send>>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Error>> {
        self.channel.poll_ready(task).map_err(|error| unavailable(error.into()))
    }

    fn call(&mut self, mut request: Request<Req>) -> Self::Future {
        let ending = if I::STREAMS { request.claim_end() } else { None };
        let Request { context, message, .. } = request;
        let broken = Broken::default();
        let prepared = prepare(&self.options, &self.encode, &context, message, broken.clone());
        let request = match prepared {
            Ok(request) => request,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let response = self.channel.call(request);
        let (options, decode) = (self.options.clone(), self.decode.clone());
        Box::pin(async move {
            let waiting = Waiting(broken.clone());
            let mut timer = Timer::until(context.deadline());
            let response = timer
                .limit(async {
                    response.await.map_err(|error| {
                        broken.take().unwrap_or_else(|| lost(error.into(), context.deadline()))
                    })
                })
                .await?;
            let reply = receive(response, options, context, waiting)?;
            decode.response(Received { reply, timer, ending }).await
        })
    }
}

/// Makes the request of a call.
fn prepare<O: Outgoing<Req>, Req>(
    options: &ClientOptions,
    encode: &Arc<O>,
    context: &Context,
    message: Req,
    broken: Broken,
) -> Result<http::Request<Body>, Error> {
    let mut headers = HeaderMap::with_capacity(8);
    for before in &options.before {
        before(context, &mut headers)?;
    }
    if let Some(remaining) = context.remaining(Instant::now()) {
        if remaining.is_zero() {
            return Err(expired().unreached());
        }
        headers.insert(TIMEOUT, timeout::format(remaining));
    }
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(TE, TRAILERS);
    headers.entry(USER_AGENT).or_insert(AGENT);
    if options.gzip {
        headers.insert(ENCODING, GZIP);
        headers.insert(ACCEPT_ENCODING, GZIP);
    }
    let id = context.request_id().and_then(|id| HeaderValue::from_str(id.as_str()).ok());
    if let Some(id) = id {
        headers.insert(options.request_id_name.clone(), id);
    }
    if context.attempt() > 0 {
        headers.insert(ATTEMPTS, HeaderValue::from(context.attempt()));
    }
    if context.criticality() != Criticality::default() {
        let criticality = HeaderValue::from_static(context.criticality().as_str());
        headers.insert(options.criticality_name.clone(), criticality);
    }
    let writing = Writing {
        limit: options.max_request_message,
        gzip_from: options.gzip.then_some(options.gzip_from),
    };
    let mut request = http::Request::new(encode.body(message, Sending { writing, broken })?);
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    *request.uri_mut() = options.uri.clone();
    *request.headers_mut() = headers;
    Ok(request)
}

/// Looks at the head of a response.
fn receive<B>(
    response: http::Response<B>,
    options: Arc<ClientOptions>,
    context: Context,
    waiting: Waiting,
) -> Result<Reply, Error>
where
    B: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    let ends = response.body().is_end_stream();
    let (mut parts, body) = response.into_parts();
    let headers = mem::take(&mut parts.headers);
    let refused = match ContentType::of(&headers) {
        ContentType::Protobuf if parts.status == StatusCode::OK => None,
        // What speaks gRPC knows better than a proxy's status.
        ContentType::Protobuf => {
            details::read(&headers).and_then(Result::err).or_else(|| Some(not_ok(parts.status)))
        }
        ContentType::OtherCodec => {
            Some(Error::of(Code::Internal).public("the response's messages are not protobuf"))
        }
        ContentType::Other => Some(not_ok(parts.status)),
    };
    if let Some(error) = refused {
        return Err(error);
    }
    let gzip = matches!(Announced::of(headers.get(ENCODING)), Announced::Gzip) && options.gzip;
    let reading = Reading { limit: options.max_response_message, gzip, broken: broke_off };
    let frames = Frames::new(any_body(body), reading);
    Ok(Reply::new(headers, ends, frames, options, context, waiting))
}

fn not_ok(status: StatusCode) -> Error {
    Error::of(status::code_of_http(status))
        .public(format!("the response is not gRPC; its HTTP status is {}", status.as_u16()))
}

/// No connection could be had.
fn unavailable(error: BoxError) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(other) => {
            Error::of(Code::Unavailable).public("the server can't be reached").caused_by(other)
        }
    }
}

/// A call failed without a response. Whoever resets a call at its deadline says nothing else.
fn lost(error: BoxError, deadline: Option<Instant>) -> Error {
    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
        return expired().caused_by(error);
    }
    let unreached = status::is_unreached(&*error);
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(other) if unreached => unavailable(other).unreached(),
        Err(other) => broke_off(other),
    }
}

/// A response ended before its time.
fn broke_off(error: BoxError) -> Error {
    Error::of(status::code_of_reset(&*error).unwrap_or(Code::Unavailable))
        .public("the connection or the stream broke off")
        .caused_by(error)
}
