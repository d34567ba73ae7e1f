use crate::{
    host,
    line::{InCall, Line},
    reply::{Refusal, Reply},
};
use http::{
    HeaderMap, Request, Response, Version,
    header::{CONTENT_TYPE, TRANSFER_ENCODING},
};
use http_body::Body;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use purlin_endpoint::{Identity, Peer};
use std::{
    cell::RefCell,
    error::Error,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::time::Sleep;
use tower_service::Service;

/// Any error, as tower and hyper have it.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The service as one connection sees it.
///
/// One clone lives as long as the connection and is called by `&mut` while it is ready: cloning for
/// each call would have every core write to the same reference counts.
pub(crate) struct Callee<S> {
    /// Borrowed only while the service is asked and called, never across an await.
    service: RefCell<S>,
    line: Arc<Line>,
    origin: Origin,
    request_timeout: Duration,
    host_rules: bool,
}

/// Where the requests of one connection come from.
pub(crate) struct Origin {
    pub(crate) peer: Peer,
    pub(crate) identity: Option<Identity>,
}

impl Origin {
    fn mark(&self, request: &mut Request<Incoming>) {
        let extensions = request.extensions_mut();
        extensions.insert(self.peer.clone());
        if let Some(identity) = &self.identity {
            extensions.insert(identity.clone());
        }
    }
}

impl<S> Callee<S> {
    pub(crate) fn new(
        service: S,
        line: Arc<Line>,
        origin: Origin,
        request_timeout: Duration,
        host_rules: bool,
    ) -> Self {
        Self { service: RefCell::new(service), line, origin, request_timeout, host_rules }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Callee<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>> + Clone,
    B: Body,
{
    type Response = Response<Reply<B>>;
    type Error = BoxError;
    type Future = Call<S>;

    fn call(&self, mut request: Request<Incoming>) -> Call<S> {
        let version = request.version();
        let mut timeout = self.request_timeout;
        let state = if self.host_rules && !host::is_clear(&request) {
            State::Refused { refusal: Refusal::Host }
        } else if self.host_rules && !host::is_escaped(request.uri()) {
            State::Refused { refusal: Refusal::Target }
        } else if version == Version::HTTP_11 && !is_plain(&request) {
            State::Refused { refusal: Refusal::Coding }
        } else {
            if version == Version::HTTP_2 && is_grpc(request.headers()) {
                timeout = Duration::MAX;
            }
            self.origin.mark(&mut request);
            begin(&mut *self.service.borrow_mut(), request)
        };
        Call { state, timeout, timer: None, version, call: Some(self.line.call()) }
    }
}

/// Calls the service if it is ready. If it is not, it is given away to wait for this one request,
/// with the place in the queue that asking it has taken, and a fresh clone stays.
fn begin<S>(service: &mut S, request: Request<Incoming>) -> State<S>
where
    S: Service<Request<Incoming>, Error: Into<BoxError>> + Clone,
{
    match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(())) => State::Running { response: service.call(request) },
        Poll::Ready(Err(error)) => State::Failed { error: Some(error.into()) },
        Poll::Pending => {
            let fresh = service.clone();
            let service = mem::replace(service, fresh);
            State::Waiting { asked: Box::new((service, Some(request))) }
        }
    }
}

/// Whether the body has no transfer coding but `chunked`, once. Hyper looks only whether that is the
/// last one, and the service would take what the others have made of the body for the body.
fn is_plain(request: &Request<Incoming>) -> bool {
    // Only a body in chunks has an end that nobody knows: the headers of the others aren't searched.
    let body = request.body();
    if body.is_end_stream() || body.size_hint().exact().is_some() {
        return true;
    }
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none()
}

/// Whether this is a gRPC call. Those carry a deadline of their own, and the head of a response may
/// rightly come with its last message.
fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

pin_project! {
    #[project = StateProjected]
    enum State<S: Service<Request<Incoming>>> {
        Running { #[pin] response: S::Future },
        Waiting { asked: Box<(S, Option<Request<Incoming>>)> },
        Refused { refusal: Refusal },
        Failed { error: Option<BoxError> },
    }
}

pin_project! {
    /// One call, until the head of its response.
    pub(crate) struct Call<S: Service<Request<Incoming>>> {
        #[pin]
        state: State<S>,
        timeout: Duration,
        // Armed when the service is first found to take its time: most calls never need it.
        timer: Option<Pin<Box<Sleep>>>,
        version: Version,
        call: Option<InCall>,
    }
}

impl<S, B> Future for Call<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>>,
{
    type Output = Result<Response<Reply<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(outcome) = this.state.as_mut().poll(cx) {
            let call = this.call.take();
            return Poll::Ready(match outcome {
                Ok(Ok(response)) => Ok(response.map(|body| Reply::new(body, call))),
                Ok(Err(refusal)) => Ok(refusal.response(*this.version, call)),
                Err(error) => Err(error),
            });
        }
        if *this.timeout == Duration::MAX {
            return Poll::Pending;
        }
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(*this.timeout)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Ok(Refusal::Late.response(*this.version, this.call.take())))
    }
}

impl<S, B> State<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>>,
{
    /// The service's response, or ours in its place.
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Result<Response<B>, Refusal>, BoxError>> {
        loop {
            match self.as_mut().project() {
                StateProjected::Running { response } => {
                    return response.poll(cx).map(|outcome| outcome.map(Ok).map_err(Into::into));
                }
                StateProjected::Waiting { asked } => {
                    let (service, request) = &mut **asked;
                    if let Err(error) = ready!(service.poll_ready(cx)) {
                        return Poll::Ready(Err(error.into()));
                    }
                    let Some(request) = request.take() else { return Poll::Pending };
                    let response = service.call(request);
                    self.set(Self::Running { response });
                }
                StateProjected::Refused { refusal } => return Poll::Ready(Ok(Err(*refusal))),
                StateProjected::Failed { error } => {
                    return match error.take() {
                        Some(error) => Poll::Ready(Err(error)),
                        None => Poll::Pending,
                    };
                }
            }
        }
    }
}
