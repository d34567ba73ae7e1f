//! One method of a server: how its messages are decoded, what is called, and how its answer is
//! encoded.

use crate::{
    body::{Produce, Producer},
    frame::{Frames, Writing},
    options::Options,
};
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::HeaderMap;
use prost::Message;
use purlin_endpoint::{
    Call as _, Code, Context, Ending, Endpoint, Error, Request, Service, Streaming,
};
use std::{
    future::poll_fn,
    marker::PhantomData,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, TryLockError},
    task::{Context as Task, Poll, Waker, ready},
};
use tokio::time::Instant;

/// A call whose head has been read.
pub(crate) struct Incoming {
    pub(crate) context: Context,
    pub(crate) started: Instant,
    pub(crate) frames: Frames,
    pub(crate) writing: Writing,
    pub(crate) options: Arc<Options>,
}

/// What a method has answered.
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    pub(crate) messages: Messages,
}

pub(crate) enum Messages {
    One(Bytes),
    Many { messages: Box<dyn Produce>, ending: Option<Ending> },
}

pub(crate) type Work = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>;

/// A method whose types are forgotten.
pub(crate) trait Route: Send + Sync {
    fn call(&self, incoming: Incoming) -> Work;

    /// The same with an endpoint for itself, for one connection.
    fn copy(&self) -> Arc<dyn Route>;
}

/// How a method's request is decoded.
pub(crate) trait Decode: Send + Sync + 'static {
    type Req: Send + 'static;

    fn decode(
        self: &Arc<Self>,
        frames: Frames,
    ) -> impl Future<Output = Result<Self::Req, Error>> + Send;
}

/// How a method's response is encoded.
pub(crate) trait Encode<Res>: Send + Sync + 'static {
    const STREAMS: bool;

    fn encode(
        self: &Arc<Self>,
        response: Res,
        writing: Writing,
        ending: Option<Ending>,
    ) -> Result<Messages, Error>;
}

/// A function between one message and one request or response.
pub struct One<F, Pb>(F, PhantomData<fn() -> Pb>);

/// A function between each message of a stream and what it stands for.
pub struct Each<F, Pb>(F, PhantomData<fn() -> Pb>);

impl<F, Pb> One<F, Pb> {
    pub(crate) fn new(function: F) -> Arc<Self> {
        Arc::new(Self(function, PhantomData))
    }

    pub(crate) fn apply<A, B>(&self, argument: A) -> Result<B, Error>
    where
        F: Fn(A) -> Result<B, Error>,
    {
        (self.0)(argument)
    }
}

impl<F, Pb> Each<F, Pb> {
    pub(crate) fn new(function: F) -> Arc<Self> {
        Arc::new(Self(function, PhantomData))
    }

    pub(crate) fn apply<A, B>(&self, argument: A) -> Result<B, Error>
    where
        F: Fn(A) -> Result<B, Error>,
    {
        (self.0)(argument)
    }
}

fn parse<Pb: Message + Default>(message: Bytes) -> Result<Pb, Error> {
    Pb::decode(message).map_err(|error| {
        Error::of(Code::InvalidArgument)
            .public("the request is not a message of this method")
            .caused_by(error)
    })
}

impl<F, Pb, Req> Decode for One<F, Pb>
where
    F: Fn(Pb) -> Result<Req, Error> + Send + Sync + 'static,
    Pb: Message + Default + 'static,
    Req: Send + 'static,
{
    type Req = Req;

    async fn decode(self: &Arc<Self>, mut frames: Frames) -> Result<Req, Error> {
        let Some(message) = frames.message().await? else {
            return Err(Error::of(Code::Unimplemented).public("the request has no message"));
        };
        if frames.message().await?.is_some() {
            return Err(Error::of(Code::Unimplemented).public("the request has several messages"));
        }
        (self.0)(parse(message)?)
    }
}

impl<F, Pb, Req> Decode for Each<F, Pb>
where
    F: Fn(Pb) -> Result<Req, Error> + Send + Sync + 'static,
    Pb: Message + Default + 'static,
    Req: Send + 'static,
{
    type Req = Streaming<Req>;

    async fn decode(self: &Arc<Self>, frames: Frames) -> Result<Streaming<Req>, Error> {
        Ok(Streaming::new(Decoding { frames, each: self.clone() }))
    }
}

/// The messages of a request, decoded as they come.
struct Decoding<F, Pb> {
    frames: Frames,
    each: Arc<Each<F, Pb>>,
}

impl<F, Pb, Req> Stream for Decoding<F, Pb>
where
    F: Fn(Pb) -> Result<Req, Error>,
    Pb: Message + Default,
{
    type Item = Result<Req, Error>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.frames.poll_message(task)).transpose();
        Poll::Ready(next.map(|message| (self.each.0)(parse(message?)?)))
    }
}

impl<F, Pb, Res> Encode<Res> for One<F, Pb>
where
    F: Fn(Res) -> Result<Pb, Error> + Send + Sync + 'static,
    Pb: Message + 'static,
{
    const STREAMS: bool = false;

    fn encode(
        self: &Arc<Self>,
        response: Res,
        writing: Writing,
        _: Option<Ending>,
    ) -> Result<Messages, Error> {
        let mut out = BytesMut::new();
        writing.write(&(self.0)(response)?, &mut out)?;
        Ok(Messages::One(out.freeze()))
    }
}

impl<F, Pb, Res> Encode<Streaming<Res>> for Each<F, Pb>
where
    F: Fn(Res) -> Result<Pb, Error> + Send + Sync + 'static,
    Pb: Message + 'static,
    Res: Send + 'static,
{
    const STREAMS: bool = true;

    fn encode(
        self: &Arc<Self>,
        stream: Streaming<Res>,
        writing: Writing,
        ending: Option<Ending>,
    ) -> Result<Messages, Error> {
        let each = self.clone();
        let encode = move |message| (each.0)(message);
        Ok(Messages::Many { messages: Box::new(Producer { stream, encode, writing }), ending })
    }
}

/// A method: an endpoint between a decoder and an encoder.
pub(crate) struct Mounted<S, D, E>(Arc<Parts<S, D, E>>);

struct Parts<S, D, E> {
    /// What fresh clones are made of.
    template: S,
    /// The clone that is called by `&mut`. The lock is held while a call is begun, never longer.
    own: Mutex<S>,
    decode: Arc<D>,
    encode: Arc<E>,
}

impl<S: Clone, D, E> Mounted<S, D, E> {
    pub(crate) fn new(endpoint: S, decode: Arc<D>, encode: Arc<E>) -> Self {
        Self(Arc::new(Parts {
            own: Mutex::new(endpoint.clone()),
            template: endpoint,
            decode,
            encode,
        }))
    }
}

impl<S, D, E> Route for Mounted<S, D, E>
where
    D: Decode,
    S: Endpoint<D::Req>,
    S::Error: Into<Error>,
    E: Encode<S::Response>,
{
    fn call(&self, incoming: Incoming) -> Work {
        Box::pin(serve(self.0.clone(), incoming))
    }

    fn copy(&self) -> Arc<dyn Route> {
        let Parts { template, decode, encode, .. } = &*self.0;
        Arc::new(Self::new(template.clone(), decode.clone(), encode.clone()))
    }
}

async fn serve<S, D, E>(parts: Arc<Parts<S, D, E>>, incoming: Incoming) -> Result<Answer, Error>
where
    D: Decode,
    S: Endpoint<D::Req>,
    S::Error: Into<Error>,
    E: Encode<S::Response>,
{
    let Incoming { context, started, frames, writing, options } = incoming;
    let message = parts.decode.decode(frames).await.map_err(Error::uncalled)?;
    let mut request = Request::new(context.clone(), message).started_at(started);
    let ending = if E::STREAMS { request.open_end() } else { None };
    let response = match begin(&parts, request) {
        Begun::Calling(call) => call.await,
        Begun::Waiting(mut fresh, request) => match poll_fn(|task| fresh.poll_ready(task)).await {
            Ok(()) => fresh.call(request).await,
            Err(error) => Err(error),
        },
        Begun::Failed(error) => Err(error),
    };
    let response = response.map_err(Into::into)?;
    let (mut headers, mut trailers) = (HeaderMap::new(), HeaderMap::new());
    for after in &options.after {
        after(&context, &mut headers, &mut trailers);
    }
    let messages = parts.encode.encode(response, writing, ending)?;
    Ok(Answer { headers, trailers, messages })
}

enum Begun<S: Service<Request<Req>>, Req> {
    Calling(S::Future),
    Waiting(S, Request<Req>),
    Failed(S::Error),
}

/// Calls the connection's own clone if it is ready. Cloning for each call would have every core
/// write to the same reference counts.
fn begin<S, D, E, Req>(parts: &Parts<S, D, E>, request: Request<Req>) -> Begun<S, Req>
where
    S: Service<Request<Req>> + Clone,
{
    let mut own = match parts.own.try_lock() {
        Ok(own) => own,
        // It is in use by another call, or by this one further out.
        Err(TryLockError::WouldBlock) => return Begun::Waiting(parts.template.clone(), request),
        Err(TryLockError::Poisoned(poisoned)) => {
            // It panicked while it was called, and may be half way through anything.
            parts.own.clear_poison();
            let mut own = poisoned.into_inner();
            *own = parts.template.clone();
            own
        }
    };
    match own.poll_ready(&mut Task::from_waker(Waker::noop())) {
        Poll::Ready(Ok(())) => Begun::Calling(own.call(request)),
        Poll::Ready(Err(error)) => Begun::Failed(error),
        // It waits for this one request, in the place in the queue that asking it has taken.
        Poll::Pending => Begun::Waiting(mem::replace(&mut *own, parts.template.clone()), request),
    }
}
