use crate::{Endpoint, Error, Request};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
};
use tower_service::Service;

type BoxFuture<Res, Err> = Pin<Box<dyn Future<Output = Result<Res, Err>> + Send>>;

/// An endpoint whose type is forgotten: a stack that can be named, stored and cloned cheaply.
///
/// A call costs one allocation. Clones share one stack; a clone that is called again and again by
/// `&mut`, as a transport does, makes a copy of the stack for itself, so that threads do not
/// contend for the stack's reference counts.
///
/// ```
/// use purlin_endpoint::{BoxEndpoint, Context, Endpoint as _, Error, endpoint_fn};
///
/// # tokio_test::block_on(async {
/// let double = BoxEndpoint::new(endpoint_fn(|_, n: u32| async move { Ok::<_, Error>(2 * n) }));
/// let half = BoxEndpoint::new(endpoint_fn(|_, n: u32| async move { Ok::<_, Error>(n / 2) }));
///
/// let endpoints: [BoxEndpoint<u32, u32>; 2] = [double, half];
/// assert_eq!(endpoints[0].invoke(Context::default(), 8).await?, 16);
/// assert_eq!(endpoints[1].invoke(Context::default(), 8).await?, 4);
/// # Ok::<_, Error>(())
/// # }).unwrap();
/// ```
pub struct BoxEndpoint<Req, Res, Err = Error> {
    shared: Arc<dyn Shared<Req, Res, Err>>,
    own: Own<Req, Res, Err>,
}

/// What a clone has of the stack for itself.
enum Own<Req, Res, Err> {
    /// Nothing: it was not called yet.
    Nothing,
    /// Nothing, though it was called once. Most clones never get further.
    Called,
    /// A copy that is called by `&mut`.
    Copy(Box<dyn Copied<Req, Res, Err>>),
}

impl<Req, Res, Err> BoxEndpoint<Req, Res, Err>
where
    Req: Send + 'static,
{
    /// Forgets the type of this endpoint. Do it once, outside all layers.
    pub fn new<S>(endpoint: S) -> Self
    where
        S: Endpoint<Req, Response = Res, Error = Err>,
    {
        Self { shared: Arc::new(endpoint), own: Own::Nothing }
    }
}

impl<Req, Res, Err> Clone for BoxEndpoint<Req, Res, Err> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), own: Own::Nothing }
    }
}

impl<Req, Res, Err> fmt::Debug for BoxEndpoint<Req, Res, Err> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxEndpoint").finish_non_exhaustive()
    }
}

impl<Req, Res, Err> Service<Request<Req>> for BoxEndpoint<Req, Res, Err> {
    type Response = Res;
    type Error = Err;
    type Future = BoxFuture<Res, Err>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Err>> {
        match &mut self.own {
            // The future of the call waits until the stack is ready.
            Own::Nothing => Poll::Ready(Ok(())),
            Own::Called => {
                let mut copy = self.shared.copy();
                let polled = copy.poll_ready(task);
                self.own = Own::Copy(copy);
                polled
            }
            Own::Copy(copy) => copy.poll_ready(task),
        }
    }

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        match &mut self.own {
            Own::Copy(copy) => copy.call(request),
            own => {
                *own = Own::Called;
                self.shared.call(request)
            }
        }
    }
}

trait Shared<Req, Res, Err>: Send + Sync {
    fn call(&self, request: Request<Req>) -> BoxFuture<Res, Err>;
    fn copy(&self) -> Box<dyn Copied<Req, Res, Err>>;
}

trait Copied<Req, Res, Err>: Send + Sync {
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Err>>;
    fn call(&mut self, request: Request<Req>) -> BoxFuture<Res, Err>;
}

impl<S, Req> Shared<Req, S::Response, S::Error> for S
where
    S: Endpoint<Req>,
    Req: Send + 'static,
{
    fn call(&self, request: Request<Req>) -> BoxFuture<S::Response, S::Error> {
        Box::pin(crate::endpoint::Invoke::new(self.clone(), request))
    }

    fn copy(&self) -> Box<dyn Copied<Req, S::Response, S::Error>> {
        Box::new(self.clone())
    }
}

impl<S, Req> Copied<Req, S::Response, S::Error> for S
where
    S: Endpoint<Req>,
    Req: Send + 'static,
{
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        Service::poll_ready(self, task)
    }

    fn call(&mut self, request: Request<Req>) -> BoxFuture<S::Response, S::Error> {
        Box::pin(Service::call(self, request))
    }
}
