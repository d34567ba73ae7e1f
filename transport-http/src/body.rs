use crate::{overseen::Overseen, watch::Watch};
use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use purlin_endpoint::{BoxError, Code, Ending, Error, catch_panic};
use std::{
    any::Any,
    fmt, mem,
    pin::Pin,
    task::{Context as Task, Poll},
};
use tokio::time::Instant;

/// The body of every request and response: bytes that are there, or that come.
///
/// A [`Server`](crate::Server) makes one of any incoming body, with its size limit and idle timeout
/// inside, so that a decoder just reads: an error of the body is an [`Error`] with the right code.
///
/// ```
/// use purlin_transport_http::Body;
///
/// # tokio_test::block_on(async {
/// assert_eq!(Body::from("hello").bytes().await?, "hello");
/// # Ok::<_, purlin_endpoint::Error>(())
/// # }).unwrap();
/// ```
#[derive(Default)]
pub struct Body {
    kind: Kind,
    /// What is to happen beside the bytes: limits, timeouts, the end of the call. A body that is
    /// all there and that nobody waits for has none.
    watch: Option<Box<Watch>>,
}

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Incoming(Incoming),
    Boxed(UnsyncBoxBody<Bytes, BoxError>),
    /// One that has a deadline.
    Overseen(Overseen),
    /// Its deadline has passed, and nobody has learned of that yet.
    Expired,
}

impl Body {
    /// A body without a byte.
    pub const fn empty() -> Self {
        Self { kind: Kind::Empty, watch: None }
    }

    /// Makes any body this one. Bodies of this type and of hyper are taken as they are; others go
    /// into a box.
    pub fn new<B>(body: B) -> Self
    where
        B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let mut body = Some(body);
        let any: &mut dyn Any = &mut body;
        if let Some(known) = any.downcast_mut::<Option<Self>>() {
            return known.take().unwrap_or_default();
        }
        if let Some(known) = any.downcast_mut::<Option<Incoming>>() {
            let incoming = known.take().filter(|incoming| !incoming.is_end_stream());
            return incoming.map_or_else(Self::empty, |body| Kind::Incoming(body).into());
        }
        match body {
            Some(body) if !body.is_end_stream() => Kind::Boxed(UnsyncBoxBody::new(
                body.map_frame(|frame| {
                    frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
                })
                .map_err(Into::into),
            ))
            .into(),
            _ => Self::empty(),
        }
    }

    /// Reads all of it.
    ///
    /// # Errors
    ///
    /// If the body is too large, pauses too long, or breaks off.
    pub async fn bytes(mut self) -> Result<Bytes, Error> {
        if self.watch.is_none()
            && let Kind::Full(bytes) = &mut self.kind
        {
            return Ok(mem::take(bytes));
        }
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await? else { return Ok(first) };
        // What the peer announces is not to be believed beyond what a small body needs.
        let more = usize::try_from(self.size_hint().lower()).unwrap_or(usize::MAX).min(64 * 1024);
        let mut all = BytesMut::with_capacity(first.len() + second.len() + more);
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(chunk) = self.chunk().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// The next bytes, as they come; `None` after the last. Trailers are passed over.
    ///
    /// # Errors
    ///
    /// If the body is too large, pauses too long, or breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.frame().await.transpose()?.map(Frame::into_data) {
                None => return Ok(None),
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => return Ok(Some(data)),
                Some(Err(_trailers)) => {}
            }
        }
    }

    /// Whether all of it is there already.
    pub(crate) fn is_buffered(&self) -> bool {
        matches!(self.kind, Kind::Empty | Kind::Full(_))
    }

    /// Puts a watch beside it. One that is there already goes on inside.
    pub(crate) fn watched(mut self, watch: Watch) -> Self {
        if self.watch.is_some() {
            self = Kind::Boxed(UnsyncBoxBody::new(self.map_err(Into::into))).into();
        }
        self.watch = Some(Box::new(watch));
        self
    }

    /// Has it end by then, whether somebody polls it or not.
    pub(crate) fn overseen(self, deadline: Instant) -> Self {
        Kind::Overseen(Overseen::new(self, deadline)).into()
    }

    /// The deadline has passed: what it holds is let go now, and whoever polls it next learns why.
    pub(crate) fn expire(&mut self) {
        // One that is over has nothing to tell any more.
        let Some(watch) = self.watch.take() else { return };
        let held = mem::replace(&mut self.kind, Kind::Expired);
        let _ = catch_panic(|| drop(held));
        let _ = catch_panic(|| watch.finish(Err(&Error::of(Code::DeadlineExceeded))));
    }

    /// Takes over telling those who wait for the end of the call.
    pub(crate) fn take_ending(&mut self) -> Option<Ending> {
        self.watch.as_mut()?.endings[0].take()
    }

    /// Lifts the limit on its size, for whoever does not keep it all.
    pub(crate) fn unlimited(mut self) -> Self {
        if let Some(watch) = &mut self.watch {
            watch.limit = None;
        }
        self
    }

    /// Lets the bytes go, as for the answer to `HEAD`: what waits for the end need not wait longer.
    pub(crate) fn discard(&mut self) {
        self.kind = Kind::Empty;
        if let Some(watch) = self.watch.take() {
            watch.finish(Ok(()));
        }
    }

    fn poll_kind(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = mem::take(bytes);
                self.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Incoming(body) => {
                Pin::new(body).poll_frame(task).map(|frame| frame.map(|f| f.map_err(Into::into)))
            }
            Kind::Boxed(body) => Pin::new(body).poll_frame(task),
            Kind::Overseen(body) => Pin::new(&mut *body.lock())
                .poll_frame(task)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
            Kind::Expired => {
                self.kind = Kind::Empty;
                Poll::Ready(Some(Err(Error::of(Code::DeadlineExceeded).into())))
            }
        }
    }

    fn is_drained(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::Incoming(body) => body.is_end_stream(),
            Kind::Boxed(body) => body.is_end_stream(),
            Kind::Overseen(body) => body.lock().is_end_stream(),
            Kind::Expired => false,
        }
    }

    fn poll_watched(
        &mut self,
        mut watch: Box<Watch>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match watch.poll(task, |task| self.poll_kind(task)) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                self.watch = Some(watch);
                return Poll::Pending;
            }
        };
        match frame {
            Some(Ok(frame)) => {
                // A body of known length is not asked again after its last byte.
                match frame.is_trailers() || (self.is_drained() && !watch.adds_trailers()) {
                    true => watch.finish(Ok(())),
                    false => self.watch = Some(watch),
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.kind = Kind::Empty;
                watch.finish(Err(&error));
                Poll::Ready(Some(Err(error)))
            }
            None => {
                self.kind = Kind::Empty;
                let trailers = watch.trailers();
                watch.finish(Ok(()));
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.watch.take() {
            Some(watch) => self.poll_watched(watch, task),
            None => self.poll_kind(task).map(|frame| frame.map(|f| f.map_err(Error::from))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_drained() && !self.watch.as_ref().is_some_and(|watch| watch.adds_trailers())
    }

    fn size_hint(&self) -> SizeHint {
        if self.watch.as_ref().is_some_and(|watch| watch.adds_trailers()) {
            // A body of known length is sent without trailers.
            return SizeHint::new();
        }
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Incoming(body) => body.size_hint(),
            Kind::Boxed(body) => body.size_hint(),
            Kind::Overseen(body) => body.lock().size_hint(),
            Kind::Expired => SizeHint::new(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take()
            && (watch.unread || self.is_drained())
        {
            watch.finish(Ok(()));
        }
    }
}

impl From<Kind> for Body {
    fn from(kind: Kind) -> Self {
        Self { kind, watch: None }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        match bytes.is_empty() {
            true => Self::empty(),
            false => Kind::Full(bytes).into(),
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Empty => "Empty",
            Kind::Full(_) => "Full",
            Kind::Incoming(_) => "Incoming",
            Kind::Boxed(_) => "Boxed",
            Kind::Overseen(_) => "Overseen",
            Kind::Expired => "Expired",
        };
        f.debug_tuple("Body").field(&format_args!("{kind}")).finish()
    }
}

/// The trailers that were written into a reply, as headers.
pub(crate) fn header_map(written: Vec<(String, String)>) -> Option<HeaderMap> {
    if written.is_empty() {
        return None;
    }
    let mut map = HeaderMap::new();
    for (name, value) in written {
        // A name or value that no header can have is not sent.
        if let (Ok(name), Ok(value)) =
            (name.parse::<http::HeaderName>(), http::HeaderValue::try_from(value))
        {
            map.append(name, value);
        }
    }
    (!map.is_empty()).then_some(map)
}
