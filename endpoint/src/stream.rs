use crate::{Ending, Error};
use futures_core::Stream;
use std::{
    fmt,
    future::poll_fn,
    iter,
    pin::Pin,
    task::{Context as Task, Poll, ready},
};

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Error>> + Send>>;

/// A stream of messages, as a request or a response.
///
/// It ends after its last message or after its first error. Dropping it gives the call up.
///
/// ```
/// use purlin_endpoint::{Error, Streaming};
///
/// # tokio_test::block_on(async {
/// let mut greetings = Streaming::iter(["Hello", "Hallo"].map(Ok));
/// assert_eq!(greetings.message().await?, Some("Hello"));
/// assert_eq!(greetings.message().await?, Some("Hallo"));
/// assert_eq!(greetings.message().await?, None);
/// # Ok::<_, Error>(())
/// # }).unwrap();
/// ```
pub struct Streaming<T> {
    /// `None` after the end, so that what the stream holds is let go at once.
    stream: Option<BoxStream<T>>,
    ending: Option<Ending>,
}

impl<T> Streaming<T> {
    /// Makes any stream of results one of ours.
    pub fn new(stream: impl Stream<Item = Result<T, Error>> + Send + 'static) -> Self {
        Self { stream: Some(Box::pin(stream)), ending: None }
    }

    /// A stream of these messages, all of them there already.
    pub fn iter<I>(messages: I) -> Self
    where
        I: IntoIterator<IntoIter: Send + 'static, Item = Result<T, Error>>,
    {
        Self::new(Iter(messages.into_iter()))
    }

    /// A stream of a single message.
    pub fn once(message: T) -> Self
    where
        T: Send + 'static,
    {
        Self::iter(iter::once(Ok(message)))
    }

    /// Tells the guards of a call when this stream has ended. This is for a client's transport.
    #[must_use]
    pub fn ending(self, ending: Option<Ending>) -> Self {
        Self { ending, ..self }
    }

    /// The next message; `None` after the last.
    ///
    /// # Errors
    ///
    /// Why the stream broke off. There is nothing after an error.
    pub async fn message(&mut self) -> Result<Option<T>, Error> {
        poll_fn(|task| Pin::new(&mut *self).poll_next(task)).await.transpose()
    }

    fn poll_stream(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<T, Error>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let polled = match &mut self.ending {
            None => stream.as_mut().poll_next(task),
            Some(ending) => ending.scoped(|| stream.as_mut().poll_next(task)),
        };
        let next = ready!(polled);
        if !matches!(next, Some(Ok(_))) {
            self.stream = None;
        }
        Poll::Ready(next)
    }
}

impl<T> Stream for Streaming<T> {
    type Item = Result<T, Error>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let next = ready!(this.poll_stream(task));
        match &next {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                if let Some(ending) = this.ending.take() {
                    ending.finish(Err(error));
                }
            }
            None => {
                if let Some(ending) = this.ending.take() {
                    ending.finish(Ok(()));
                }
            }
        }
        Poll::Ready(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.as_ref().map_or((0, Some(0)), Stream::size_hint)
    }
}

impl<T> fmt::Debug for Streaming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming").finish_non_exhaustive()
    }
}

struct Iter<I>(I);

// What is never pinned in place may be moved.
impl<I> Unpin for Iter<I> {}

impl<I: Iterator> Stream for Iter<I> {
    type Item = I::Item;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
