use crate::{Error, error::BoxError};
use bytes::{Buf, Bytes};
use http::Uri;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Sleep;

/// What is sent, whatever its type was.
pub(crate) type RequestBody = UnsyncBoxBody<Bytes, BodyFailed>;

pub(crate) fn erase<B>(body: B) -> RequestBody
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    Sent { body }.boxed_unsync()
}

pin_project! {
    /// A body in our own types. It keeps its size, by which the length of a request is told.
    struct Sent<B> {
        #[pin]
        body: B,
    }
}

impl<B: Body<Error: Into<BoxError>>> Body for Sent<B> {
    type Data = Bytes;
    type Error = BodyFailed;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailed>>> {
        let frame = ready!(self.project().body.poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(|error| BodyFailed(error.into()))?;
            Ok(frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Tells an error of the request body from all else that hyper reports.
#[derive(Debug)]
pub(crate) struct BodyFailed(BoxError);

impl std::fmt::Display for BodyFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request body could not be produced")
    }
}

impl std::error::Error for BodyFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// The body of a response. Its errors name the address.
#[derive(Debug)]
pub struct ResponseBody {
    pub(crate) inner: Incoming,
    pub(crate) uri: Uri,
    pub(crate) timer: Option<Timer>,
}

/// How long the exchange may take, and when that will be over.
pub(crate) type Timer = (Duration, Pin<Box<Sleep>>);

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| {
                frame.map_err(|source| Error::Body {
                    address: crate::connector::address(&self.uri),
                    source: source.into(),
                })
            }));
        }
        if let Some((after, timer)) = &mut self.timer
            && timer.as_mut().poll(cx).is_ready()
        {
            let after = *after;
            let address = crate::connector::address(&self.uri);
            return Poll::Ready(Some(Err(Error::TimedOut { address, after })));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
