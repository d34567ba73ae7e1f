use crate::{
    details,
    frame::{AnyBody, Writing},
    metadata,
    options::Finish,
    overseen::Overseen,
    timer::{Timer, expired},
};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use prost::Message;
use purlin_endpoint::{BoxError, Ending, Error, Streaming, catch_panic};
use std::{
    fmt, mem,
    pin::Pin,
    task::{Context as Task, Poll, ready},
};

/// Messages that are ready together go out together, up to about this many bytes.
const BATCH: usize = 16 << 10;

/// What a server answers and what a client sends.
///
/// It goes wherever a body of hyper, axum or tonic goes.
pub struct Body(Inner);

enum Inner {
    Empty,
    /// One message, and in a response the trailers.
    One {
        data: Option<Bytes>,
        trailers: Option<HeaderMap>,
    },
    /// The messages of a response, then its trailers.
    Response(Box<ResponseStream>),
    /// The same, where there is a deadline.
    Overseen(Overseen),
    /// The messages of a request.
    Request(Box<dyn Produce>),
    /// The answer of another service.
    Other(AnyBody),
}

impl Body {
    pub(crate) const fn empty() -> Self {
        Self(Inner::Empty)
    }

    pub(crate) const fn one(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self(Inner::One { data: Some(data), trailers })
    }

    pub(crate) const fn trailers(trailers: HeaderMap) -> Self {
        Self(Inner::One { data: None, trailers: Some(trailers) })
    }

    pub(crate) fn response(stream: ResponseStream) -> Self {
        Self(match stream.timer.deadline() {
            Some(deadline) => Inner::Overseen(Overseen::new(stream, deadline)),
            None => Inner::Response(Box::new(stream)),
        })
    }

    pub(crate) fn request(messages: Box<dyn Produce>) -> Self {
        Self(Inner::Request(messages))
    }

    pub(crate) fn other(body: AnyBody) -> Self {
        Self(Inner::Other(body))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Inner::Empty => Poll::Ready(None),
            Inner::One { data, trailers } => Poll::Ready(match data.take() {
                Some(data) => Some(Ok(Frame::data(data))),
                None => trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
            }),
            Inner::Response(stream) => stream.poll_frame(task).map(|frame| frame.map(Ok)),
            Inner::Overseen(stream) => stream.lock().poll_frame(task).map(|frame| frame.map(Ok)),
            Inner::Request(messages) => {
                let mut batch = BytesMut::new();
                let ended = poll_batch(&mut **messages, task, &mut batch);
                match ended {
                    Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
                    _ if !batch.is_empty() => Poll::Ready(Some(Ok(Frame::data(batch.freeze())))),
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(_) => Poll::Ready(None),
                }
            }
            Inner::Other(body) => body.as_mut().poll_frame(task),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::One { data, trailers } => data.is_none() && trailers.is_none(),
            Inner::Response(stream) => stream.is_over(),
            Inner::Overseen(stream) => stream.lock().is_over(),
            Inner::Request(_) => false,
            Inner::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::One { data, .. } => {
                SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64))
            }
            Inner::Response(_) | Inner::Overseen(_) | Inner::Request(_) => SizeHint::default(),
            Inner::Other(body) => body.size_hint(),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

/// Makes encoded messages, one after the other.
pub(crate) trait Produce: Send {
    /// Appends the next message; `None` after the last. After an error there is nothing.
    fn poll(&mut self, task: &mut Task<'_>, out: &mut BytesMut) -> Poll<Option<Result<(), Error>>>;
}

/// A stream, and how its messages are encoded.
pub(crate) struct Producer<T, F> {
    pub(crate) stream: Streaming<T>,
    pub(crate) encode: F,
    pub(crate) writing: Writing,
}

impl<T, F, Pb> Produce for Producer<T, F>
where
    F: Fn(T) -> Result<Pb, Error> + Send,
    Pb: Message,
{
    fn poll(&mut self, task: &mut Task<'_>, out: &mut BytesMut) -> Poll<Option<Result<(), Error>>> {
        let next = ready!(futures_core::Stream::poll_next(Pin::new(&mut self.stream), task));
        Poll::Ready(next.map(|message| {
            let message = (self.encode)(message?)?;
            self.writing.write(&message, out)
        }))
    }
}

/// Appends all messages that are ready, up to a limit: `Some` at the end or at an error.
fn poll_batch(
    messages: &mut dyn Produce,
    task: &mut Task<'_>,
    batch: &mut BytesMut,
) -> Poll<Option<Result<(), Error>>> {
    while batch.len() < BATCH {
        match ready!(messages.poll(task, batch)) {
            Some(Ok(())) => {}
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return Poll::Ready(None),
        }
    }
    Poll::Pending
}

/// The stream of a response, which owns the end of its call.
pub(crate) struct ResponseStream {
    messages: Option<Box<dyn Produce>>,
    batch: BytesMut,
    /// How the messages ended, until the trailers have said so.
    outcome: Option<Result<(), Error>>,
    /// What the functions of the user add to the trailers.
    trailers: HeaderMap,
    ending: Option<Ending>,
    timer: Timer,
    finish: Option<Finish>,
    /// What is to be said of a call that has ended, when somebody asks.
    last: Option<HeaderMap>,
}

impl ResponseStream {
    pub(crate) fn new(
        messages: Box<dyn Produce>,
        trailers: HeaderMap,
        ending: Option<Ending>,
        timer: Timer,
        finish: Finish,
    ) -> Self {
        Self {
            messages: Some(messages),
            batch: BytesMut::new(),
            outcome: None,
            trailers,
            ending,
            timer,
            finish: Some(finish),
            last: None,
        }
    }

    fn is_over(&self) -> bool {
        self.finish.is_none() && self.last.is_none()
    }

    fn poll_frame(&mut self, task: &mut Task<'_>) -> Poll<Option<Frame<Bytes>>> {
        if self.finish.is_none() {
            return Poll::Ready(self.last.take().map(Frame::trailers));
        }
        if self.outcome.is_none() {
            self.outcome = self.poll_outcome(task);
            if self.outcome.is_some() {
                self.let_go();
            }
        }
        if !self.batch.is_empty() {
            return Poll::Ready(Some(Frame::data(self.batch.split().freeze())));
        }
        match self.outcome.take() {
            None => Poll::Pending,
            Some(outcome) => Poll::Ready(self.end(&outcome).map(Frame::trailers)),
        }
    }

    /// What the stream holds is let go before the peer learns of its end.
    fn let_go(&mut self) {
        self.timer = Timer::until(None);
        let messages = self.messages.take();
        let _ = catch_panic(|| drop(messages));
    }

    /// The deadline has passed: the call ends, whether somebody polls it or not.
    pub(crate) fn expire(&mut self) {
        self.let_go();
        self.last = self.last.take().or_else(|| self.end(&Err(expired())));
    }

    /// Fills the batch; `Some` when no more comes.
    fn poll_outcome(&mut self, task: &mut Task<'_>) -> Option<Result<(), Error>> {
        if self.timer.has_passed(task) {
            return Some(Err(expired()));
        }
        let (messages, batch) = (self.messages.as_deref_mut()?, &mut self.batch);
        let polled = catch_panic(|| match &mut self.ending {
            Some(ending) => ending.scoped(|| poll_batch(messages, task, batch)),
            None => poll_batch(messages, task, batch),
        });
        match polled {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(None)) => Some(Ok(())),
            Ok(Poll::Ready(Some(result))) => Some(result),
            Err(panicked) => {
                // Dropped in the middle of its work, it tells the guards of the panic.
                let ending = self.ending.take();
                let _ = catch_panic(|| drop(ending));
                Some(Err(panicked.into()))
            }
        }
    }

    /// Ends the call: the trailers are on their way.
    fn end(&mut self, outcome: &Result<(), Error>) -> Option<HeaderMap> {
        let mut finish = self.finish.take()?;
        let ending = self.ending.take();
        let mut trailers = mem::take(&mut self.trailers);
        let _ = catch_panic(|| {
            if let Some(ending) = ending {
                ending.finish(outcome.as_ref().map(|&()| ()));
            }
            match outcome {
                Ok(()) => finish.succeed(),
                Err(error) => finish.fail(error),
            }
        });
        let context = finish.context();
        metadata::append(&mut trailers, context.reply().take().trailers);
        match outcome {
            Ok(()) => details::write_ok(&mut trailers),
            Err(error) => details::write_error(&mut trailers, context, error),
        }
        Some(trailers)
    }
}
