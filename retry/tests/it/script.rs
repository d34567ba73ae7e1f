//! An endpoint that does as it is told, and remembers what it was asked.

use purlin_endpoint::{Context, Endpoint, Error, Layer, Method, Request, Service, endpoint_fn};
use std::{
    collections::VecDeque,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

pub(crate) static READ: Method = Method::unary("test.Store", "Read").idempotent();
pub(crate) static WRITE: Method = Method::unary("test.Store", "Write");
pub(crate) static WATCH: Method = Method::server_streaming("test.Store", "Watch").idempotent();

pub(crate) const MS: Duration = Duration::from_millis(1);

/// What becomes of one attempt.
pub(crate) enum Step {
    /// It answers with the number of the attempt.
    Answer,
    Fail(Error),
    /// It does that after so long.
    After(Duration, Result<(), Error>),
    Never,
}

/// One attempt, as the endpoint saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    /// Milliseconds since the script began.
    pub(crate) at: u64,
    /// The attempts before this one, as it was told.
    pub(crate) attempt: u32,
    /// Milliseconds that it was left.
    pub(crate) left: Option<u64>,
}

/// Counts an attempt for as long as it runs.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The attempts that are to come, in their order; after them, the last kind for ever.
#[derive(Clone)]
pub(crate) struct Script {
    steps: Arc<Mutex<VecDeque<Step>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    running: Arc<AtomicUsize>,
    began: Instant,
}

impl Script {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: Arc::new(Mutex::new(steps.into_iter().collect())),
            seen: Arc::default(),
            running: Arc::default(),
            began: Instant::now(),
        }
    }

    /// Fails each attempt with what this makes.
    pub(crate) fn failing(make: impl Fn() -> Error) -> Self {
        Self::new((0..100).map(|_| Step::Fail(make())))
    }

    pub(crate) fn endpoint(
        &self,
    ) -> impl Endpoint<&'static str, Response = u32, Error = Error> + use<> {
        let script = self.clone();
        endpoint_fn(move |context: Context, _: &'static str| {
            let (step, running) = (script.step(&context), Running::new(&script.running));
            async move {
                let _running = running;
                match step {
                    Step::Answer => Ok(context.attempt()),
                    Step::Fail(error) => Err(error),
                    Step::After(time, outcome) => {
                        sleep(time).await;
                        outcome.map(|()| context.attempt())
                    }
                    Step::Never => pending().await,
                }
            }
        })
    }

    fn step(&self, context: &Context) -> Step {
        let now = Instant::now();
        let left = context.remaining(now).map(|left| left.as_millis() as u64);
        let at = (now - self.began).as_millis() as u64;
        self.seen.lock().unwrap().push(Seen { at, attempt: context.attempt(), left });
        self.steps.lock().unwrap().pop_front().expect("the script has no further attempt")
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// When each attempt came, in milliseconds.
    pub(crate) fn times(&self) -> Vec<u64> {
        self.seen().iter().map(|seen| seen.at).collect()
    }

    pub(crate) fn attempts(&self) -> usize {
        self.seen().len()
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Calls it once, through this layer.
    pub(crate) async fn run<L>(&self, layer: &L, context: Context) -> Result<u32, Error>
    where
        L: Layer<BoxedScript>,
        L::Service: Service<Request<&'static str>, Response = u32, Error = Error>,
    {
        let mut service = layer.layer(purlin_endpoint::BoxEndpoint::new(self.endpoint()));
        std::future::poll_fn(|task| service.poll_ready(task)).await?;
        service.call(Request::new(context, "message")).await
    }

    /// Calls the idempotent method once, through this layer.
    pub(crate) async fn read<L>(&self, layer: &L) -> Result<u32, Error>
    where
        L: Layer<BoxedScript>,
        L::Service: Service<Request<&'static str>, Response = u32, Error = Error>,
    {
        self.run(layer, Context::new().with_method(&READ)).await
    }
}

pub(crate) type BoxedScript = purlin_endpoint::BoxEndpoint<&'static str, u32>;
