use std::{
    fmt,
    future::Future,
    mem,
    task::{Context as Task, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// Makes a layer of an async function, for what must wait before or after a call.
///
/// The function gets the request and [`Next`], which runs the rest of the stack once. Its types
/// are written as here; one value serves one type of request, so a layer for several methods is a
/// generic function that returns this.
///
/// ```
/// use purlin_endpoint::{Context, Endpoint as _, Error, Next, Request, endpoint_fn, from_fn};
/// use tower::ServiceBuilder;
///
/// # tokio_test::block_on(async {
/// let shout = from_fn(|request: Request<String>, next: Next<_>| async move {
///     let greeting: String = next.run(request).await?;
///     Ok::<_, Error>(greeting.to_uppercase())
/// });
/// let greet = ServiceBuilder::new().layer(shout).service(endpoint_fn(
///     |_, name: String| async move { Ok::<_, Error>(format!("Hello, {name}!")) },
/// ));
///
/// assert_eq!(greet.invoke(Context::default(), "Ann".into()).await?, "HELLO, ANN!");
/// # Ok::<_, Error>(())
/// # }).unwrap();
/// ```
pub fn from_fn<F>(function: F) -> FromFnLayer<F> {
    FromFnLayer(function)
}

/// An async function as a [`Layer`].
#[derive(Clone, Copy)]
pub struct FromFnLayer<F>(F);

impl<F: Clone, S> Layer<S> for FromFnLayer<F> {
    type Service = FromFn<F, S>;

    fn layer(&self, inner: S) -> FromFn<F, S> {
        FromFn { function: self.0.clone(), inner }
    }
}

impl<F> fmt::Debug for FromFnLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFnLayer")
    }
}

/// A service behind an async function.
#[derive(Clone, Copy)]
pub struct FromFn<F, S> {
    function: F,
    inner: S,
}

impl<F, S: fmt::Debug> fmt::Debug for FromFn<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<F, S, Req, Fut, Res> Service<Req> for FromFn<F, S>
where
    S: Service<Req> + Clone,
    F: Fn(Req, Next<S>) -> Fut,
    Fut: Future<Output = Result<Res, S::Error>>,
{
    type Response = Res;
    type Error = S::Error;
    type Future = Fut;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: Req) -> Fut {
        // The one that was polled ready goes to the function; its clone is not ready yet.
        let clone = self.inner.clone();
        (self.function)(request, Next(mem::replace(&mut self.inner, clone)))
    }
}

/// The rest of the stack, ready to be called once.
pub struct Next<S>(S);

impl<S> Next<S> {
    /// Runs the rest of the stack.
    pub fn run<Req>(mut self, request: Req) -> S::Future
    where
        S: Service<Req>,
    {
        self.0.call(request)
    }
}

impl<S> fmt::Debug for Next<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Next")
    }
}
