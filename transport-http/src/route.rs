//! A service whose type is forgotten.

use crate::{Body, problem};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use purlin_endpoint::{BoxError, Error, Service};
use std::{
    mem,
    pin::Pin,
    task::{Context as Task, Poll, Waker, ready},
};

/// The future of a routed call: the only box that a call goes into.
pub(crate) type BoxFuture = Pin<Box<dyn Future<Output = http::Response<Body>> + Send>>;

/// What a [`Router`](crate::Router) can route to.
///
/// Every [`Service`] from `http::Request<Body>` to a response with any body is one, so nobody
/// implements it: our servers are, alone or under layers of tower-http, and axum's routers are.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be routed to",
    note = "a route is a `tower::Service<http::Request<purlin_transport_http::Body>>` that returns an `http::Response` and is `Clone + Send + Sync + 'static`, and whose future is `Send`",
    note = "an endpoint becomes one with `Server::new(endpoint, decode, encode)`"
)]
pub trait HttpService:
    Service<
        http::Request<Body>,
        Response = http::Response<Self::ResponseBody>,
        Error: Into<Error>,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
    /// The body of its responses.
    type ResponseBody: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static;

    /// Calls it as soon as it is ready. An error becomes a problem document.
    #[doc(hidden)]
    fn route(&mut self, request: http::Request<Body>) -> BoxFuture;
}

impl<S, R> HttpService for S
where
    S: Service<http::Request<Body>, Response = http::Response<R>> + Clone + Send + Sync + 'static,
    S: Service<http::Request<Body>, Error: Into<Error>, Future: Send + 'static>,
    R: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type ResponseBody = R;

    fn route(&mut self, request: http::Request<Body>) -> BoxFuture {
        match self.poll_ready(&mut Task::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Box::pin(Called { call: Service::call(self, request) }),
            Poll::Ready(Err(error)) => {
                let response = problem::respond(&error.into(), None);
                Box::pin(std::future::ready(response))
            }
            Poll::Pending => {
                // The one that was asked waits in its place in the queue, a fresh clone stays.
                let clone = self.clone();
                let mut service = mem::replace(self, clone);
                Box::pin(async move {
                    let ready = std::future::poll_fn(|task| service.poll_ready(task));
                    match ready.await.map_err(|error| problem::respond(&error.into(), None)) {
                        Ok(()) => Called { call: Service::call(&mut service, request) }.await,
                        Err(response) => response,
                    }
                })
            }
        }
    }
}

pin_project! {
    struct Called<F> {
        #[pin]
        call: F,
    }
}

impl<F, R, Err> Future for Called<F>
where
    F: Future<Output = Result<http::Response<R>, Err>>,
    R: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
    Err: Into<Error>,
{
    type Output = http::Response<Body>;

    fn poll(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.project().call.poll(task)) {
            Ok(response) => response.map(Body::new),
            Err(error) => problem::respond(&error.into(), None),
        })
    }
}

/// A service as all clones of a router share it.
pub(crate) trait Shared: Send + Sync {
    fn copy(&self) -> Box<dyn Copied>;
    fn call(&self, request: http::Request<Body>) -> BoxFuture;
}

/// A copy of a service, called by `&mut`.
pub(crate) trait Copied: Send + Sync {
    fn call(&mut self, request: http::Request<Body>) -> BoxFuture;
}

impl<S: HttpService> Shared for S {
    fn copy(&self) -> Box<dyn Copied> {
        Box::new(self.clone())
    }

    fn call(&self, request: http::Request<Body>) -> BoxFuture {
        self.clone().route(request)
    }
}

impl<S: HttpService> Copied for S {
    fn call(&mut self, request: http::Request<Body>) -> BoxFuture {
        self.route(request)
    }
}
