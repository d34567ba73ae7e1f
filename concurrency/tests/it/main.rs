//! Calls that find room, wait for it or are refused, on a stopped clock.

mod adaptive;
mod churn;
mod conformance;
mod layer;
mod queue;
#[cfg(feature = "serde")]
mod serde;
mod threads;

use purlin_concurrency::{ConcurrencyLayer, ConcurrencyLimit, Handle, Shed};
use purlin_endpoint::{Context, Criticality, Endpoint as _, Error, Layer as _, endpoint_fn};
use std::time::Duration;
use tokio::{sync::oneshot, task::JoinHandle};

const MILLI: Duration = Duration::from_millis(1);

/// Calls behind a limit, each of which runs until it is told to end.
struct Calls {
    layer: ConcurrencyLayer,
    handle: Handle,
}

/// A call that has been made, perhaps only to wait.
struct Made {
    outcome: JoinHandle<Result<(), Error>>,
    finish: oneshot::Sender<()>,
}

impl Calls {
    fn new(config: ConcurrencyLimit) -> Self {
        let layer = config.layer().unwrap();
        Self { handle: layer.handle(), layer }
    }

    /// Makes a call, and lets it come as far as it can.
    async fn make(&self, context: Context) -> Made {
        let (finish, finished) = oneshot::channel();
        let service =
            self.layer.layer(endpoint_fn(|_: Context, finished: oneshot::Receiver<()>| async {
                finished.await.map_err(Error::internal)
            }));
        let outcome = tokio::spawn(service.invoke(context, finished));
        settle().await;
        Made { outcome, finish }
    }

    async fn of(&self, criticality: Criticality) -> Made {
        self.make(Context::new().with_criticality(criticality)).await
    }

    async fn many<const N: usize>(&self) -> [Made; N] {
        let mut made = Vec::new();
        for _ in 0..N {
            made.push(self.of(Criticality::default()).await);
        }
        made.try_into().ok().unwrap()
    }

    fn counts(&self) -> (u32, u32) {
        (self.handle.in_flight(), self.handle.waiting())
    }
}

impl Made {
    async fn finish(self) {
        self.finish.send(()).unwrap();
        assert!(self.outcome.await.unwrap().is_ok());
        settle().await;
    }

    async fn drop(self) {
        self.outcome.abort();
        settle().await;
    }

    async fn refused(self) -> Shed {
        *self.outcome.await.unwrap().unwrap_err().find::<Shed>().unwrap()
    }
}

/// Lets all tasks come as far as they can without time.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}
