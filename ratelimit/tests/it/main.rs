//! Calls that come too fast, on a stopped clock.

mod allocations;
mod conformance;
mod go_kit;
mod handle;
mod keys;
mod layer;
mod patience;
#[cfg(feature = "serde")]
mod serde;

use purlin_endpoint::{Context, Endpoint, Error, Layer, endpoint_fn};
use purlin_ratelimit::{Limited, RateLimitLayer, RateLimited};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

type Answering =
    purlin_endpoint::EndpointFn<fn(Context, ()) -> std::future::Ready<Result<(), Error>>>;

/// An endpoint that answers at once, behind a limit.
fn limited(layer: &RateLimitLayer) -> RateLimited<Answering> {
    layer.layer(endpoint_fn(|_, ()| std::future::ready(Ok(()))))
}

/// Calls, and gives the refusal if there was one.
async fn call(endpoint: &RateLimited<Answering>, context: Context) -> Result<(), Limited> {
    let outcome = endpoint.invoke(context, ()).await;
    outcome.map_err(|error| *error.find().expect("an error other than the refusal"))
}
