//! A look at the wire: whether each message went packed.

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};
use tower::Service;

/// Whether each message was packed, in the order in which they came by.
#[derive(Clone, Debug, Default)]
pub struct Flags(Arc<Mutex<[Vec<bool>; 2]>>);

impl Flags {
    fn add(&self, way: Way, packed: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[way as usize].push(packed);
    }

    /// What came by since this was asked last: requests, and responses.
    pub(super) fn take(&self) -> [Vec<bool>; 2] {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Request,
    Response,
}

/// A gRPC service whose messages are watched.
#[derive(Clone, Debug)]
pub struct Tapped<S> {
    inner: S,
    flags: Flags,
}

impl<S> Tapped<S> {
    /// Watches this service.
    pub fn new(inner: S, flags: Flags) -> Self {
        Self { inner, flags }
    }
}

impl<S, B, R> Service<http::Request<B>> for Tapped<S>
where
    S: Service<http::Request<TappedBody<B>>, Response = http::Response<R>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<TappedBody<R>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let flags = self.flags.clone();
        let request = request.map(|body| TappedBody::new(body, Way::Request, flags.clone()));
        let response = self.inner.call(request);
        async move { Ok(response.await?.map(|body| TappedBody::new(body, Way::Response, flags))) }
            .boxed()
    }
}

/// A body whose messages are watched.
#[derive(Debug)]
pub struct TappedBody<B> {
    body: B,
    way: Way,
    flags: Flags,
    prefix: Vec<u8>,
    /// So many bytes of a message are still to come.
    missing: usize,
}

impl<B> TappedBody<B> {
    fn new(body: B, way: Way, flags: Flags) -> Self {
        Self { body, way, flags, prefix: Vec::new(), missing: 0 }
    }

    fn look(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.missing > 0 {
                let taken = self.missing.min(data.len());
                self.missing -= taken;
                data = &data[taken..];
                continue;
            }
            self.prefix.push(data[0]);
            data = &data[1..];
            if let [flag, a, b, c, d] = self.prefix[..] {
                self.flags.add(self.way, flag == 1);
                self.missing = u32::from_be_bytes([a, b, c, d]) as usize;
                self.prefix.clear();
            }
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for TappedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(task));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            this.look(&data.clone());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
