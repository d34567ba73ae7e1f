//! Limits in a Redis that is there, away, or back.

mod away;
mod foreign;
#[cfg(feature = "serde")]
mod serde;

use purlin_endpoint::{Context, Endpoint, EndpointFn, Error, Layer, endpoint_fn};
use purlin_ratelimit::Limited;
use purlin_ratelimit_redis::{Change, RedisRateLimitLayer, RedisRateLimited};
use std::{
    future::{Ready, ready},
    sync::{Arc, Mutex},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

type Answering = EndpointFn<fn(Context, ()) -> Ready<Result<(), Error>>>;

/// An endpoint that answers at once, behind a limit.
fn limited(layer: &RedisRateLimitLayer) -> RedisRateLimited<Answering> {
    layer.layer(endpoint_fn(|_, ()| ready(Ok(()))))
}

/// Calls, and gives the refusal if there was one.
async fn call(endpoint: &RedisRateLimited<Answering>, context: Context) -> Result<(), Limited> {
    let outcome = endpoint.invoke(context, ()).await;
    outcome.map_err(|error| *error.find().expect("an error other than the refusal"))
}

/// How many of so many calls were admitted.
async fn admitted(endpoint: &RedisRateLimited<Answering>, calls: usize) -> usize {
    let mut admitted = 0;
    for _ in 0..calls {
        admitted += usize::from(call(endpoint, Context::new()).await.is_ok());
    }
    admitted
}

/// What was told, in order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Change>>>);

impl Told {
    fn listener(&self) -> impl Fn(&Change) + Send + Sync + 'static {
        let told = self.0.clone();
        move |change| told.lock().unwrap().push(change.clone())
    }

    /// How often it was told to be away, and to be back.
    fn counts(&self) -> (usize, usize) {
        let told = self.0.lock().unwrap();
        let back = told.iter().filter(|change| **change == Change::Back).count();
        (told.len() - back, back)
    }
}
