use purlin_endpoint::{BoxEndpoint, Code, Context, Endpoint as _, Error, Request, endpoint_fn};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context as Task, Poll},
};
use tower::{Service, ServiceExt as _};

/// Counts its clones, and is ready at the second poll.
#[derive(Debug, Default)]
struct Slow {
    clones: Arc<AtomicUsize>,
    polled: bool,
}

impl Clone for Slow {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::Relaxed);
        Self { clones: self.clones.clone(), polled: false }
    }
}

impl Service<Request<u32>> for Slow {
    type Response = u32;
    type Error = Error;
    type Future = std::future::Ready<Result<u32, Error>>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Error>> {
        if std::mem::replace(&mut self.polled, true) {
            return Poll::Ready(Ok(()));
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, request: Request<u32>) -> Self::Future {
        assert!(std::mem::take(&mut self.polled), "called before it was ready");
        std::future::ready(Ok(request.message))
    }
}

#[tokio::test]
async fn a_clone_that_is_called_again_and_again_copies_its_stack_once() {
    let clones = Arc::new(AtomicUsize::new(0));
    let boxed = BoxEndpoint::new(Slow { clones: clones.clone(), polled: false });
    let mut connection = boxed.clone();
    for n in 0..100 {
        let ready = connection.ready().await.unwrap();
        assert_eq!(ready.call(Request::new(Context::new(), n)).await.unwrap(), n);
    }
    assert_eq!(clones.load(Ordering::Relaxed), 2, "one for the first call, one for all others");
}

#[tokio::test]
async fn an_invocation_waits_until_the_stack_is_ready() {
    let boxed = BoxEndpoint::new(Slow::default());
    assert_eq!(boxed.invoke(Context::new(), 7).await.unwrap(), 7);
}

#[tokio::test]
async fn endpoints_of_different_types_have_one_name() {
    let fails = endpoint_fn(|_: Context, _: u32| async { Err(Error::of(Code::NotFound)) });
    let endpoints: Vec<BoxEndpoint<u32, u32>> =
        vec![BoxEndpoint::new(Slow::default()), BoxEndpoint::new(fails)];
    assert_eq!(endpoints[0].invoke(Context::new(), 1).await.unwrap(), 1);
    assert_eq!(endpoints[1].invoke(Context::new(), 1).await.unwrap_err().code(), Code::NotFound);
}
