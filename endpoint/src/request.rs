use crate::{Context, Ending, Method, end::EndSlot};
use std::fmt;
use tokio::time::Instant;

/// A message on its way to an endpoint, with its context.
///
/// A clone is another attempt: it has the same context and message, but only the original is the
/// one that its caller waits for, so only that one knows the end of its stream.
pub struct Request<T> {
    /// What is known about the call.
    pub context: Context,
    /// What is asked.
    pub message: T,
    started: Option<Instant>,
    end: Option<EndSlot>,
}

impl<T> Request<T> {
    /// A call with this context and message.
    pub fn new(context: Context, message: T) -> Self {
        Self { context, message, started: None, end: None }
    }

    /// Says when the call started, as its transport has read it.
    #[must_use]
    pub fn started_at(mut self, started: Instant) -> Self {
        self.started = Some(started);
        self
    }

    /// The same call with another message.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Request<U> {
        let Self { context, message, started, end } = self;
        Request { context, message: map(message), started, end }
    }
}

impl<T: Clone> Clone for Request<T> {
    fn clone(&self) -> Self {
        Self {
            context: self.context.clone(),
            message: self.message.clone(),
            started: None,
            end: None,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Request<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("context", &self.context)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

/// What a layer may ask of any request: [`Request`], `http::Request`, or one of your own.
///
/// A request type of your own needs the first two methods; without the others its calls are timed
/// by each layer, and end with their response.
#[diagnostic::on_unimplemented(
    message = "a layer of Purlin can't read the context of `{Self}`",
    label = "not a request with a context",
    note = "wrap the message in `purlin_endpoint::Request`, or implement `Call` for your own request",
    note = "for `http::Request`, turn on the feature `http` of `purlin-endpoint`"
)]
pub trait Call {
    /// What is known about the call.
    fn context(&self) -> &Context;

    /// The same, to be changed for what lies further in.
    fn context_mut(&mut self) -> &mut Context;

    /// When the call started: one reading of the clock, shared by all layers.
    fn started(&mut self) -> Instant {
        Instant::now()
    }

    #[doc(hidden)]
    fn slot(&self) -> Option<Slot<'_>> {
        None
    }

    #[doc(hidden)]
    fn stream_limit(&self) -> StreamLimit {
        StreamLimit(self.slot().map(|slot| slot.0.clone()))
    }

    #[doc(hidden)]
    fn make_slot(&mut self) {}

    /// Makes the caller the one who tells when the call's stream has ended.
    ///
    /// The transport that makes the stream calls this once. It is `None` if nobody waits for that
    /// end, or somebody else tells it already.
    fn claim_end(&mut self) -> Option<Ending> {
        self.slot()?.0.claim()
    }

    /// Makes room for guards that wait for the end of the stream, and tells them when it comes.
    ///
    /// A server's transport calls this for a method whose response is a stream.
    fn open_end(&mut self) -> Option<Ending> {
        if self.slot().is_none() {
            self.make_slot();
        }
        self.claim_end()
    }

    /// Names the method, and makes room for the end of its stream if it has one.
    fn name_method(&mut self, method: &'static Method) {
        let context = self.context_mut();
        if !context.method().is_some_and(|known| std::ptr::eq(known, method)) {
            *context = std::mem::take(context).with_method(method);
        }
        if method.streams_response() && self.slot().is_none() {
            self.make_slot();
        }
    }
}

/// Where the guards of a call wait for the end of its stream: only this crate can look inside.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Slot<'a>(pub(crate) &'a EndSlot);

impl fmt::Debug for Slot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

/// Where a layer notes by when the stream of a call must end: nowhere, if nobody waits for that.
#[doc(hidden)]
pub struct StreamLimit(pub(crate) Option<EndSlot>);

impl fmt::Debug for StreamLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamLimit")
    }
}

impl<T> Call for Request<T> {
    fn context(&self) -> &Context {
        &self.context
    }

    fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }

    fn started(&mut self) -> Instant {
        *self.started.get_or_insert_with(Instant::now)
    }

    fn slot(&self) -> Option<Slot<'_>> {
        self.end.as_ref().map(Slot)
    }

    fn make_slot(&mut self) {
        self.end = Some(EndSlot::default());
    }
}
