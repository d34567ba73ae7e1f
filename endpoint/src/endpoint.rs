use crate::{Call, Context, Method, Request};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context as Task, Poll, ready},
};
use tower_layer::Layer;
use tower_service::Service;

/// An async function from a request to a response: one RPC method.
///
/// Every [`Service`] of [`Request<Req>`](Request) that can be cloned and sent is one, so this is
/// the one bound to write; nobody implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an endpoint for `{Req}`",
    label = "not an `Endpoint<{Req}>`",
    note = "an endpoint is a `tower::Service<purlin_endpoint::Request<{Req}>>` that is `Clone + Send + Sync + 'static` and whose future is `Send`",
    note = "an async function becomes one with `endpoint_fn(|context: Context, message: {Req}| async move {{ … }})`"
)]
pub trait Endpoint<Req>:
    Service<Request<Req>, Response: Send + 'static, Error: Send + 'static, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
    /// Calls it: ready, then call, on a clone.
    ///
    /// Cloning a stack for each call is the slow path, and meant for clients and tests. A server's
    /// transport keeps a clone for each connection and calls that by `&mut`.
    fn invoke(&self, context: Context, message: Req) -> Invoke<Self, Request<Req>> {
        Invoke::new(self.clone(), Request::new(context, message))
    }
}

impl<S, Req> Endpoint<Req> for S where
    S: Service<
            Request<Req>,
            Response: Send + 'static,
            Error: Send + 'static,
            Future: Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

pin_project! {
    /// The future of a call that waits until its service is ready: [`Endpoint::invoke`], or of any
    /// request.
    pub struct Invoke<S: Service<Req>, Req> {
        #[pin]
        state: InvokeState<S, S::Future, Req>,
    }
}

pin_project! {
    #[project = InvokeProjection]
    enum InvokeState<S, F, Req> {
        Readying { service: S, request: Option<Req> },
        Calling { #[pin] call: F },
    }
}

impl<S: Service<Req>, Req> Invoke<S, Req> {
    /// Calls the service once, when it is ready.
    pub fn new(service: S, request: Req) -> Self {
        Self { state: InvokeState::Readying { service, request: Some(request) } }
    }
}

impl<S: Service<Req>, Req> Future for Invoke<S, Req> {
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let call = match this.state.as_mut().project() {
                InvokeProjection::Calling { call } => return call.poll(task),
                InvokeProjection::Readying { service, request } => {
                    ready!(service.poll_ready(task))?;
                    match request.take() {
                        Some(request) => service.call(request),
                        None => panic!("`Invoke` polled after its end"),
                    }
                }
            };
            this.state.set(InvokeState::Calling { call });
        }
    }
}

impl<S: Service<Req>, Req> fmt::Debug for Invoke<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invoke").finish_non_exhaustive()
    }
}

/// Makes an endpoint of an async function.
///
/// ```
/// use purlin_endpoint::{Context, Endpoint as _, Error, endpoint_fn};
///
/// # tokio_test::block_on(async {
/// let greet = endpoint_fn(|_: Context, name: String| async move {
///     Ok::<_, Error>(format!("Hello, {name}!"))
/// });
///
/// assert_eq!(greet.invoke(Context::default(), "Ann".into()).await?, "Hello, Ann!");
/// # Ok::<_, Error>(())
/// # }).unwrap();
/// ```
pub fn endpoint_fn<F, Req, Fut, Res, Err>(function: F) -> EndpointFn<F>
where
    F: Fn(Context, Req) -> Fut,
    Fut: Future<Output = Result<Res, Err>> + Send,
{
    EndpointFn { function, method: None }
}

/// An async function as an endpoint.
#[derive(Clone, Copy)]
pub struct EndpointFn<F> {
    function: F,
    method: Option<&'static Method>,
}

impl<F> EndpointFn<F> {
    /// Names the method that the function is, where no layer or transport further out has.
    #[must_use]
    pub fn of(self, method: &'static Method) -> Self {
        Self { method: Some(method), ..self }
    }
}

impl<F, Req, Fut, Res, Err> Service<Request<Req>> for EndpointFn<F>
where
    F: Fn(Context, Req) -> Fut,
    Fut: Future<Output = Result<Res, Err>>,
{
    type Response = Res;
    type Error = Err;
    type Future = Fut;

    #[inline]
    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Err>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request<Req>) -> Fut {
        let Request { mut context, message, .. } = request;
        if let (None, Some(method)) = (context.method(), self.method) {
            context = context.with_method(method);
        }
        (self.function)(context, message)
    }
}

impl<F> fmt::Debug for EndpointFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointFn").field("method", &self.method).finish_non_exhaustive()
    }
}

/// Names the method that a stack serves or calls, for the layers inside it.
///
/// It is the outermost layer of a client's stack, and of a server's that is called without a
/// transport. For a method that streams its response it makes room for the end of the stream, so
/// that the layers inside see when that is.
#[derive(Clone, Copy, Debug)]
pub struct MethodLayer(&'static Method);

impl MethodLayer {
    /// Names this method.
    pub const fn new(method: &'static Method) -> Self {
        Self(method)
    }
}

impl<S> Layer<S> for MethodLayer {
    type Service = Named<S>;

    fn layer(&self, inner: S) -> Named<S> {
        Named { method: self.0, inner }
    }
}

/// A service whose method is named.
#[derive(Clone, Copy, Debug)]
pub struct Named<S> {
    method: &'static Method,
    inner: S,
}

impl<S: Service<Req>, Req: Call> Service<Req> for Named<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> S::Future {
        request.name_method(self.method);
        self.inner.call(request)
    }
}
