use crate::{Change, RedisRateLimitLayer, state::State};
use purlin_endpoint::{Context, Invalid};
use purlin_ratelimit::{Key, RateLimit};
use redis::Client;
use std::{fmt, time::Duration};

/// A limit whose buckets are in Redis.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct RedisRateLimit {
    /// What the buckets' names in Redis begin with. Limits of one name are one limit.
    pub name: String,
    /// How many calls are admitted, and how fast.
    pub limit: RateLimit,
    /// How long a call waits for Redis.
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    pub timeout: Duration,
    /// What becomes of calls while Redis is away.
    pub when_away: WhenAway,
}

/// What becomes of calls while Redis is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum WhenAway {
    /// They are admitted, as if there were no limit: the service outlives its limiter.
    #[default]
    Admit,
    /// They are refused, as if the limit were reached: what is behind it must not be hit harder.
    Refuse,
}

/// The default limit under the name `ratelimit`, with 50 ms for Redis, admitting while it is away.
impl Default for RedisRateLimit {
    fn default() -> Self {
        Self::new("ratelimit", RateLimit::default())
    }
}

impl RedisRateLimit {
    /// A limit by this name.
    pub fn new(name: impl Into<String>, limit: RateLimit) -> Self {
        let timeout = Duration::from_millis(50);
        Self { name: name.into(), limit, timeout, when_away: WhenAway::Admit }
    }

    /// Waits for Redis this long at most, connecting included: 50 ms if nothing else is said.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Says what becomes of calls while Redis is away. They are admitted if nothing is said.
    #[must_use]
    pub fn when_away(self, when_away: WhenAway) -> Self {
        Self { when_away, ..self }
    }

    /// Keeps the buckets at this server, which is not asked for anything yet.
    pub fn at(self, client: Client) -> AtRedis {
        AtRedis { limit: self, client, key: None, on_change: Box::new(|_| ()) }
    }

    /// Finds the mistake in it.
    ///
    /// # Errors
    ///
    /// If `name` is empty or `timeout` is zero, and what [`RateLimit::check`] finds.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.name.is_empty() {
            return Err(Invalid { field: "name", why: "must not be empty" });
        }
        if self.timeout.is_zero() {
            return Err(Invalid { field: "timeout", why: "must be more than zero" });
        }
        self.limit.check()
    }
}

type FindKey = dyn Fn(&Context) -> Option<Key<'_>> + Send + Sync;

/// A limit at a server, made by [`RedisRateLimit::at`].
pub struct AtRedis {
    pub(crate) limit: RedisRateLimit,
    pub(crate) client: Client,
    pub(crate) key: Option<Box<FindKey>>,
    pub(crate) on_change: Box<dyn Fn(&Change) + Send + Sync>,
}

impl AtRedis {
    /// Gives each key a limit of its own. Calls for which there is no key share one.
    #[must_use]
    pub fn by<F>(self, key: F) -> Self
    where
        F: Fn(&Context) -> Option<Key<'_>> + Send + Sync + 'static,
    {
        Self { key: Some(Box::new(key)), ..self }
    }

    /// Tells this function when Redis is away, and when it is back, once each.
    #[must_use]
    pub fn on_change(self, tell: impl Fn(&Change) + Send + Sync + 'static) -> Self {
        Self { on_change: Box::new(tell), ..self }
    }

    /// Builds the layer.
    ///
    /// # Errors
    ///
    /// What [`RedisRateLimit::check`] finds.
    pub fn layer(self) -> Result<RedisRateLimitLayer, Invalid> {
        self.limit.check()?;
        Ok(RedisRateLimitLayer::new(State::new(self)))
    }
}

impl fmt::Debug for AtRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A client's address may hold a password.
        f.debug_struct("AtRedis").field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_names_its_field() {
        let good = RedisRateLimit::default();
        let client = || Client::open("redis://127.0.0.1:1/").unwrap();
        for (wrong, field) in [
            (RedisRateLimit::new("", RateLimit::default()), "name"),
            (good.clone().timeout(Duration::ZERO), "timeout"),
            (RedisRateLimit::new("a", RateLimit::per_second(0)), "calls"),
        ] {
            assert_eq!(wrong.at(client()).layer().unwrap_err().field, field);
        }
        assert!(good.at(client()).layer().is_ok());
    }
}
