//! Layers of tower around our endpoints, and ours around anything.

use purlin_endpoint::{
    BoxError, Code, Context, Endpoint, Error, Guard, Intercept, InterceptLayer, Request,
    endpoint_fn,
};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};

/// Refuses every call.
#[derive(Debug)]
pub(crate) struct Closed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed for today")
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::new(Code::Unavailable, refused)
    }
}

impl<Req> Intercept<Req> for Closed {
    type Guard = ();
    type Refusal = Refused;

    fn before(self: &Arc<Self>, _: &mut Req) -> Result<(), Refused> {
        Err(Refused)
    }
}

fn echo() -> impl Endpoint<u32, Response = u32, Error = BoxError> {
    endpoint_fn(|_: Context, n: u32| async move { Ok::<_, BoxError>(n) })
}

#[tokio::test]
async fn towers_layers_work_on_an_endpoint() {
    let stack = ServiceBuilder::new()
        .timeout(Duration::from_secs(1))
        .concurrency_limit(1)
        .map_request(|request: Request<u32>| request.map(|n| n + 1))
        .service(echo());
    assert_eq!(stack.invoke(Context::default(), 1).await.unwrap(), 2);
}

#[tokio::test]
async fn a_refusal_becomes_our_error_a_boxed_error_or_a_response() {
    let ours = endpoint_fn(|_: Context, n: u32| async move { Ok::<_, Error>(n) });
    let ours = ServiceBuilder::new().layer(InterceptLayer::new(Closed)).service(ours);
    let error = ours.invoke(Context::default(), 1).await.unwrap_err();
    assert_eq!((error.code(), error.find()), (Code::Unavailable, Some(&Refused)));

    let boxed = ServiceBuilder::new().layer(InterceptLayer::new(Closed)).service(echo());
    let error = boxed.invoke(Context::default(), 1).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Refused));

    let never = endpoint_fn(|_: Context, n: u32| async move { Ok::<_, Infallible>(n) });
    let layer = InterceptLayer::new(Closed).respond(|Refused| 503);
    let never = ServiceBuilder::new().layer(layer).service(never);
    let Ok(status) = never.invoke(Context::default(), 1).await;
    assert_eq!(status, 503);
}

/// Counts the calls whose request says that they are urgent.
#[derive(Debug, Default)]
struct Urgent(std::sync::atomic::AtomicUsize);

impl<B> Intercept<http::Request<B>> for Urgent {
    type Guard = ();
    type Refusal = Infallible;

    fn before(self: &Arc<Self>, request: &mut http::Request<B>) -> Result<(), Infallible> {
        use purlin_endpoint::Call as _;
        if request.context().get::<&str>() == Some(&"urgent") {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_layer_reads_the_context_of_an_http_request() {
    use purlin_endpoint::Call as _;
    let layer = InterceptLayer::observer(Urgent::default());
    // The error is one that nothing of ours can be turned into.
    let inner = service_fn(|_: http::Request<()>| async { Err::<http::Response<()>, _>("gone") });
    let mut service = ServiceBuilder::new().layer(layer.clone()).service(inner);
    let mut request = http::Request::new(());
    *request.context_mut() = Context::new().with("urgent");
    assert_eq!(service.ready().await.unwrap().call(request).await.unwrap_err(), "gone");
    assert_eq!(
        service.ready().await.unwrap().call(http::Request::new(())).await.unwrap_err(),
        "gone"
    );
    assert_eq!(layer.intercept().0.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn a_guard_of_nothing_takes_no_room() {
    fn is_guard<G: Guard<u32, Error>>() -> usize {
        size_of::<G>()
    }
    assert_eq!(is_guard::<()>(), 0);
}
