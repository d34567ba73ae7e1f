use purlin_endpoint::{
    Call, CatchPanicLayer, Context, End, Endpoint as _, Error, Guard, How, Intercept,
    InterceptLayer, Request, endpoint_fn,
};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;
use tower::{Layer as _, ServiceBuilder};

/// Writes down what its guards see.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    pub(crate) saw: Mutex<Vec<String>>,
    pub(crate) times: Mutex<Vec<(Instant, Instant)>>,
}

pub(crate) struct Watching {
    witness: Arc<Witness>,
    started: Instant,
}

impl<Req: Call> Intercept<Req> for Witness {
    type Guard = Watching;
    type Refusal = Infallible;

    fn before(self: &Arc<Self>, request: &mut Req) -> Result<Watching, Infallible> {
        self.saw.lock().unwrap().push("before".to_owned());
        Ok(Watching { witness: self.clone(), started: request.started() })
    }
}

impl<Res, Err> Guard<Res, Err> for Watching {
    fn response(&mut self, outcome: &mut Result<Res, Err>) {
        self.witness.saw.lock().unwrap().push(format!("response {}", outcome.is_ok()));
    }

    fn end(self, end: End<'_>) {
        let how = match end.how() {
            How::Returned => "returned".to_owned(),
            How::Streamed(result) => format!("streamed {}", result.is_ok()),
            How::Dropped => "dropped".to_owned(),
            How::Panicked => "panicked".to_owned(),
        };
        self.witness.saw.lock().unwrap().push(how);
        self.witness.times.lock().unwrap().push((self.started, end.at(self.started)));
    }
}

pub(crate) fn witness() -> (InterceptLayer<Witness, purlin_endpoint::Observes>, Arc<Witness>) {
    let layer = InterceptLayer::observer(Witness::default());
    let witness = layer.intercept().clone();
    (layer, witness)
}

impl Witness {
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.saw.lock().unwrap())
    }
}

#[tokio::test]
async fn a_guard_sees_the_outcome_and_then_the_end() {
    let (layer, witness) = witness();
    let ok = layer.layer(endpoint_fn(|_: Context, n: u32| async move { Ok::<_, Error>(n) }));
    ok.invoke(Context::new(), 1).await.unwrap();
    assert_eq!(witness.take(), ["before", "response true", "returned"]);

    let fails = layer.layer(endpoint_fn(|_: Context, (): ()| async { Err::<(), _>("no") }));
    fails.invoke(Context::new(), ()).await.unwrap_err();
    assert_eq!(witness.take(), ["before", "response false", "returned"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_ends_as_dropped_at_that_moment() {
    let (layer, witness) = witness();
    let never =
        layer.layer(endpoint_fn(|_: Context, (): ()| std::future::pending::<Result<(), Error>>()));
    let begun = Instant::now();
    let limit = Duration::from_secs(3);
    assert!(tokio::time::timeout(limit, never.invoke(Context::new(), ())).await.is_err());
    assert_eq!(witness.take(), ["before", "dropped"]);
    assert_eq!(*witness.times.lock().unwrap(), [(begun, begun + limit)]);

    // Dropped before the first poll, the call was never let in.
    drop(never.invoke(Context::new(), ()));
    assert_eq!(witness.take(), Vec::<String>::new());
}

#[tokio::test]
async fn all_guards_of_a_call_share_one_reading_of_the_clock() {
    let (outer, outer_witness) = witness();
    let (inner, inner_witness) = witness();
    let stack = ServiceBuilder::new()
        .layer(outer)
        .layer(inner)
        .service(endpoint_fn(|_: Context, (): ()| async { Ok::<_, Error>(()) }));
    for _ in 0..100 {
        stack.invoke(Context::new(), ()).await.unwrap();
    }
    let outer = outer_witness.times.lock().unwrap();
    assert_eq!(outer.len(), 100);
    assert_eq!(*outer, *inner_witness.times.lock().unwrap());
}

#[tokio::test]
async fn an_inner_call_of_another_stack_does_not_lend_its_end() {
    let (outer, outer_witness) = witness();
    let (other, other_witness) = witness();
    let other = other.layer(endpoint_fn(|_: Context, (): ()| async { Ok::<_, Error>(()) }));
    let stack = outer.layer(endpoint_fn(move |context: Context, (): ()| {
        let other = other.clone();
        async move {
            other.invoke(context.outgoing(), ()).await?;
            let later = Instant::now() + Duration::from_micros(50);
            while Instant::now() < later {}
            Ok::<_, Error>(())
        }
    }));
    stack.invoke(Context::new(), ()).await.unwrap();
    let (_, outer_end) = outer_witness.times.lock().unwrap()[0];
    let (_, other_end) = other_witness.times.lock().unwrap()[0];
    assert!(outer_end >= other_end + Duration::from_micros(50));
}

#[tokio::test]
async fn a_panic_is_told_apart_from_a_cancellation() {
    let (layer, witness) = witness();
    let stack = ServiceBuilder::new().layer(CatchPanicLayer::new()).layer(layer).service(
        endpoint_fn(|_: Context, deep: bool| {
            assert!(deep, "before there is a future");
            async move { if deep { panic!("while it is polled") } else { Ok::<(), Error>(()) } }
        }),
    );
    for deep in [false, true] {
        stack.invoke(Context::new(), deep).await.unwrap_err();
        assert_eq!(witness.take(), ["before", "panicked"]);
    }
}

thread_local! {
    static DEPTH: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// Keeps a thread-local up while work of the call runs.
#[derive(Debug)]
struct Scoping;

struct Scoped;

struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

impl<Req> Intercept<Req> for Scoping {
    type Guard = Scoped;
    type Refusal = Infallible;

    fn before(self: &Arc<Self>, _: &mut Req) -> Result<Scoped, Infallible> {
        Ok(Scoped)
    }
}

impl<Res, Err> Guard<Res, Err> for Scoped {
    fn end(self, _: End<'_>) {}

    fn enter(&self) -> impl Sized {
        DEPTH.set(DEPTH.get() + 1);
        Entered
    }
}

struct SeenAtDrop(Arc<Mutex<Vec<u32>>>);

impl Drop for SeenAtDrop {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(DEPTH.get());
    }
}

#[tokio::test]
async fn a_scope_surrounds_the_call_each_poll_the_drop_and_each_poll_of_a_stream() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = seen.clone();
    let layer = InterceptLayer::observer(Scoping);
    let stack = ServiceBuilder::new().layer(layer.clone()).layer(layer).service(endpoint_fn(
        move |_: Context, (): ()| {
            see.lock().unwrap().push(DEPTH.get());
            let at_drop = SeenAtDrop(see.clone());
            let see = see.clone();
            async move {
                see.lock().unwrap().push(DEPTH.get());
                tokio::task::yield_now().await;
                see.lock().unwrap().push(DEPTH.get());
                drop(at_drop);
                Ok::<_, Error>(())
            }
        },
    ));
    stack.invoke(Context::new(), ()).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [2, 2, 2, 2]);

    // A future that is dropped half-way runs its drop in the scope as well.
    seen.lock().unwrap().clear();
    {
        let mut call = std::pin::pin!(stack.invoke(Context::new(), ()));
        let mut task = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(call.as_mut().poll(&mut task).is_pending());
    }
    assert_eq!(*seen.lock().unwrap(), [2, 2, 2]);

    static STREAM: purlin_endpoint::Method = purlin_endpoint::Method::server_streaming("a.B", "C");
    let mut request = Request::new(Context::new().with_method(&STREAM), ());
    let mut ending = request.open_end().unwrap();
    let mut stack = stack;
    tower::Service::call(&mut stack, request).await.unwrap();
    assert_eq!(ending.scoped(|| DEPTH.get()), 2);
    assert_eq!(DEPTH.get(), 0);
}
