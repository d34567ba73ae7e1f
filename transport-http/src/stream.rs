//! A stream of messages as a body.

use crate::Body;
use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body as HttpBody, Frame};
use purlin_endpoint::{Error, Streaming};
use std::{
    pin::Pin,
    task::{Context as Task, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// The body of these messages, each encoded as it comes.
pub(crate) fn body<T: 'static>(
    messages: Streaming<T>,
    encode: impl Fn(T) -> Result<Bytes, Error> + Send + 'static,
) -> Body {
    Body::new(Encoded { messages, encode: Box::new(encode), beat: None })
}

/// The same, with these bytes whenever there was nothing else for so long.
pub(crate) fn body_with_heartbeat<T: 'static>(
    messages: Streaming<T>,
    encode: impl Fn(T) -> Result<Bytes, Error> + Send + 'static,
    interval: Duration,
    bytes: &'static [u8],
) -> Body {
    let beat = Some(Beat { interval, bytes, timer: None });
    Body::new(Encoded { messages, encode: Box::new(encode), beat })
}

type Encode<T> = Box<dyn Fn(T) -> Result<Bytes, Error> + Send>;

struct Encoded<T> {
    messages: Streaming<T>,
    encode: Encode<T>,
    beat: Option<Beat>,
}

/// What is sent so that nobody on the way takes a quiet stream for a dead one.
struct Beat {
    interval: Duration,
    bytes: &'static [u8],
    timer: Option<Pin<Box<Sleep>>>,
}

impl Beat {
    fn poll(&mut self, task: &mut Task<'_>) -> Poll<Bytes> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.interval)));
        ready!(timer.as_mut().poll(task));
        self.timer = None;
        Poll::Ready(Bytes::from_static(self.bytes))
    }
}

impl<T: 'static> HttpBody for Encoded<T> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(next) = Pin::new(&mut this.messages).poll_next(task) {
            if let Some(beat) = &mut this.beat {
                beat.timer = None;
            }
            let next = next.map(|message| message.and_then(&this.encode));
            return Poll::Ready(next.map(|bytes| bytes.map(Frame::data)));
        }
        let Some(beat) = &mut this.beat else { return Poll::Pending };
        beat.poll(task).map(|bytes| Some(Ok(Frame::data(bytes))))
    }
}
