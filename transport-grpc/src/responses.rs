//! What came back from a server, message by message, and its status.

use crate::{
    broken::Waiting,
    client::ClientOptions,
    details,
    frame::{Frames, malformed},
    timer::{Timer, expired},
};
use bytes::Bytes;
use futures_core::Stream;
use http::HeaderMap;
use purlin_endpoint::{Code, Context, Error};
use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll, ready},
};
use tokio::time::Instant;

/// A response whose head has come.
pub(crate) struct Reply {
    headers: HeaderMap,
    /// The head was all.
    ends: bool,
    frames: Frames,
    options: Arc<ClientOptions>,
    context: Context,
    waiting: Waiting,
}

impl Reply {
    pub(crate) fn new(
        headers: HeaderMap,
        ends: bool,
        frames: Frames,
        options: Arc<ClientOptions>,
        context: Context,
        waiting: Waiting,
    ) -> Self {
        Self { headers, ends, frames, options, context, waiting }
    }

    /// The next message; `None` if the server says that all went well and that was all.
    fn poll_message(&mut self, task: &mut Task<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        Poll::Ready(match ready!(self.frames.poll_message(task)) {
            Ok(Some(message)) => Ok(Some(message)),
            Ok(None) => self.conclude().map(|()| None),
            Err(error) => Err(self.why(error)),
        })
    }

    /// A stream that is reset says less than its deadline, or than what broke the request off.
    fn why(&self, error: Error) -> Error {
        let deadline = self.context.deadline();
        if let Some(broken) = self.waiting.0.take() {
            return broken;
        }
        let reset = matches!(error.code(), Code::Cancelled | Code::Unavailable);
        if reset && deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return expired().caused_by(error);
        }
        error
    }

    /// The one message of a response that is not a stream.
    pub(crate) async fn only(&mut self) -> Result<Bytes, Error> {
        let first = poll_fn(|task| self.poll_message(task)).await?;
        let Some(first) = first else {
            return Err(Error::of(Code::Unimplemented).public("the response has no message"));
        };
        match poll_fn(|task| self.poll_message(task)).await? {
            None => Ok(first),
            Some(_) => {
                Err(Error::of(Code::Unimplemented).public("the response has several messages"))
            }
        }
    }

    /// The error, if the response is nothing else.
    pub(crate) fn only_error(&mut self) -> Result<(), Error> {
        if self.ends && matches!(details::read(&self.headers), Some(Err(_))) {
            return self.conclude();
        }
        Ok(())
    }

    /// Reads the status at the end.
    fn conclude(&mut self) -> Result<(), Error> {
        let none = HeaderMap::new();
        let (headers, trailers, missing) = match self.frames.trailers() {
            Some(trailers) => (&self.headers, trailers, Code::Unknown),
            // A status in the headers counts only where there is nothing else.
            None if self.frames.any_data() => (&self.headers, &none, Code::Internal),
            None if self.ends => (&none, &self.headers, Code::Unknown),
            // The stream was reset behind its head, as if nothing were wrong.
            None => (&none, &self.headers, Code::Internal),
        };
        for after in &self.options.after {
            after(&self.context, headers, trailers);
        }
        details::read(trailers).unwrap_or_else(|| match missing {
            Code::Internal => Err(malformed("the response ended without a status")),
            code => Err(Error::of(code).public("the response has no status")),
        })
    }
}

/// The messages of a response, decoded as they come.
pub(crate) struct Responses<F> {
    reply: Reply,
    timer: Timer,
    decode: F,
}

impl<F> Responses<F> {
    pub(crate) fn new(reply: Reply, timer: Timer, decode: F) -> Self {
        Self { reply, timer, decode }
    }
}

// What is never pinned in place may be moved.
impl<F> Unpin for Responses<F> {}

impl<F, Res> Stream for Responses<F>
where
    F: Fn(Bytes) -> Result<Res, Error>,
{
    type Item = Result<Res, Error>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.timer.has_passed(task) {
            return Poll::Ready(Some(Err(expired())));
        }
        let next = ready!(this.reply.poll_message(task)).transpose();
        Poll::Ready(next.map(|message| (this.decode)(message?)))
    }
}
