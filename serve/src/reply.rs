use crate::line::InCall;
use bytes::{Buf, Bytes};
use http::{HeaderValue, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    io::IoSlice,
    pin::Pin,
    task::{Context, Poll},
};

/// Why the server answers without asking the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not clear which host the request is for.
    Host,
    /// The target has half an escape.
    Target,
    /// The body has a transfer coding that is not known here.
    Coding,
    /// The service took too long to begin its response.
    Late,
}

impl Refusal {
    /// The whole response, as RFC 9457 has it.
    pub(crate) fn response<B>(self, version: Version, call: Option<InCall>) -> Response<Reply<B>> {
        let (status, problem) = match self {
            Self::Host => (
                StatusCode::BAD_REQUEST,
                r#"{"title":"Bad Request","status":400,"detail":"the host is missing, repeated or invalid"}"#,
            ),
            Self::Target => (
                StatusCode::BAD_REQUEST,
                r#"{"title":"Bad Request","status":400,"detail":"the target has half an escape"}"#,
            ),
            Self::Coding => (
                StatusCode::NOT_IMPLEMENTED,
                r#"{"title":"Not Implemented","status":501,"detail":"the only transfer coding is chunked"}"#,
            ),
            Self::Late => (
                StatusCode::GATEWAY_TIMEOUT,
                r#"{"title":"Gateway Timeout","status":504,"detail":"the service took too long"}"#,
            ),
        };
        let body = Kind::Refusal { text: Some(Bytes::from_static(problem.as_bytes())) };
        let mut response = Response::new(Reply { body, _call: call });
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if version < Version::HTTP_2 {
            // Two sides that disagree about a request may disagree about where it ends.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

pin_project! {
    /// A response body that keeps its call counted until it is dropped.
    pub(crate) struct Reply<B> {
        #[pin]
        body: Kind<B>,
        _call: Option<InCall>,
    }
}

pin_project! {
    #[project = KindProjected]
    enum Kind<B> {
        Service { #[pin] body: B },
        Refusal { text: Option<Bytes> },
    }
}

impl<B> Reply<B> {
    pub(crate) fn new(body: B, call: Option<InCall>) -> Self {
        Self { body: Kind::Service { body }, _call: call }
    }
}

impl<B: Body> Body for Reply<B> {
    type Data = Data<B::Data>;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.project().body.project() {
            KindProjected::Service { body } => {
                body.poll_frame(cx).map_ok(|frame| frame.map_data(Data::Service))
            }
            KindProjected::Refusal { text } => {
                Poll::Ready(text.take().map(|text| Ok(Frame::data(Data::Refusal(text)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Kind::Service { body } => body.is_end_stream(),
            Kind::Refusal { text } => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Kind::Service { body } => body.size_hint(),
            Kind::Refusal { text } => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
        }
    }
}

/// A piece of a response body.
pub(crate) enum Data<D> {
    Service(D),
    Refusal(Bytes),
}

impl<D: Buf> Buf for Data<D> {
    fn remaining(&self) -> usize {
        match self {
            Self::Service(data) => data.remaining(),
            Self::Refusal(data) => data.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Service(data) => data.chunk(),
            Self::Refusal(data) => data.chunk(),
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Service(data) => data.advance(count),
            Self::Refusal(data) => data.advance(count),
        }
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        match self {
            Self::Service(data) => data.chunks_vectored(into),
            Self::Refusal(data) => data.chunks_vectored(into),
        }
    }
}
