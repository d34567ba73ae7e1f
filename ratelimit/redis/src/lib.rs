//! Rate limits that many processes share.
//!
//! ```
//! use purlin_endpoint::{Context, Endpoint as _, Error, endpoint_fn};
//! use purlin_ratelimit::RateLimit;
//! use purlin_ratelimit_redis::{Client, RedisRateLimit};
//! use tower::ServiceBuilder;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Nobody listens there, so what is said about that case applies: calls are admitted.
//! let redis = Client::open("redis://127.0.0.1:1/")?;
//! let limit = RedisRateLimit::new("greeter", RateLimit::per_second(100).burst(20));
//! let layer = limit.at(redis).on_change(|change| eprintln!("{change}")).layer()?;
//! let handle = layer.handle();
//! let greet = ServiceBuilder::new().layer(layer).service(endpoint_fn(
//!     |_: Context, name: &'static str| async move { Ok::<_, Error>(format!("Hello, {name}!")) },
//! ));
//!
//! assert_eq!(greet.invoke(Context::default(), "Ada").await?, "Hello, Ada!");
//! assert!(handle.is_away());
//! # Ok(())
//! # }
//! ```
//!
//! The limit is that of [`purlin_ratelimit`], with the same options and the same refusal; its
//! buckets are in a Redis server, version 5 or newer, and all processes that use the same name and
//! key there take from the same bucket. One script does it in one round trip, by the server's clock.
//! Buckets that are full expire by themselves.
//!
//! A call waits for Redis no longer than a [`timeout`](RedisRateLimit::timeout). When there is no
//! answer, Redis counts as away: from then on calls are admitted or refused at once, as
//! [`when_away`](RedisRateLimit::when_away) says, except that one tries to reach it now and then,
//! first after 100 ms and at last every 2 s. It is told once that Redis is away, and once that it is
//! back. A connection that merely broke is made anew, and nothing is told. Let the timeout be shorter
//! than the time that calls have: a call that is dropped while it waits for Redis says nothing
//! about it.
//!
//! Unlike in [`purlin_ratelimit`], a call that is dropped while it waits for its turn does not give
//! its token back, and a key's text is stored for as long as its bucket is not full.
//!
//! Clones of a layer, and all that they wrap, share one connection, which is made by the first call.
//! It needs a tokio runtime with I/O and timer on. TLS is the `redis` crate's: turn on a feature of
//! it, such as `tokio-rustls-comp`, in your own manifest.
//!
//! # Features
//!
//! - `serde`: reads and writes a [`RedisRateLimit`].

mod handle;
mod layer;
mod limit;
mod link;
mod state;

pub use handle::Handle;
pub use layer::{RedisRateLimitLayer, RedisRateLimited};
pub use limit::{AtRedis, RedisRateLimit, WhenAway};
pub use link::Change;
pub use redis::Client;
