use super::{
    exchange::{Exchange, unavailable},
    fresh::{Asking, Fetch, Fetched, Fresh},
};
use crate::jwt::{KeySet, Keys, Missing};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::CACHE_CONTROL;
use purlin_endpoint::{Error, Invalid};
use purlin_http_client::HttpClient;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Where an issuer's keys are found, and how long they are good.
///
/// ```
/// use purlin_auth::{Authenticate as _, jwt::{Algorithm, Jwt}, oidc::Issuer};
/// use purlin_http_client::HttpClient;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), purlin_endpoint::Invalid> {
/// let issuer = "https://issuer.example";
/// let keys = Issuer::new(issuer).start(HttpClient::new(), |why| eprintln!("{why:#}"))?;
/// let layer = Jwt::new([Algorithm::Es256], issuer, "greeter")
///     .verifier::<serde_json::Value>(keys)?
///     .layer();
/// # assert!(Issuer::new("http://issuer.example").start(HttpClient::new(), |_| ()).is_err());
/// # Ok(())
/// # }
/// ```
///
/// The keys are fetched at once, and again before they are as old as `Cache-Control` lets them be,
/// which is taken for 1 minute to 1 hour, and for 5 minutes where nothing is said. While the issuer
/// is away, the last ones are [kept](Self::kept).
///
/// A call whose token names a key that is not known has them fetched again and waits for that, 10 s
/// at most; such fetches are at least an [interval](Self::interval) apart, and one serves all calls
/// that wait, of which there are no more than 1,024. While there are no keys at all, calls are refused
/// as `UNAVAILABLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub struct Issuer {
    issuer: String,
    jwks: Option<String>,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    kept: Duration,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    interval: Duration,
    without_tls: bool,
}

/// Without a name, which it needs.
impl Default for Issuer {
    fn default() -> Self {
        Self::new("")
    }
}

impl Issuer {
    /// The issuer of this name, which is a URL, below which its configuration is found.
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            jwks: None,
            kept: Duration::from_secs(24 * 60 * 60),
            interval: Duration::from_secs(5),
            without_tls: false,
        }
    }

    /// Fetches the keys from here, and does not ask for the issuer's configuration.
    #[must_use]
    pub fn jwks(self, url: impl Into<String>) -> Self {
        Self { jwks: Some(url.into()), ..self }
    }

    /// Keeps the keys for so long when they can't be fetched again: 24 hours unless set.
    #[must_use]
    pub fn kept(self, period: Duration) -> Self {
        Self { kept: period, ..self }
    }

    /// Fetches the keys no more often than this for tokens that name another: 5 s unless set, and 10 s
    /// at most.
    #[must_use]
    pub fn interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// Trusts whatever comes over plain HTTP: for tests, and for an issuer on the same machine.
    #[must_use]
    pub fn without_tls(self) -> Self {
        Self { without_tls: true, ..self }
    }

    /// Starts to fetch the keys, in a task that ends when the last clone of them is dropped, and tells
    /// of each failure. It must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If a URL is none or not of `https`, or a time makes no sense.
    pub fn start(
        self,
        client: HttpClient,
        told: impl Fn(&Error) + Send + 'static,
    ) -> Result<Keys, Invalid> {
        let exchange = Exchange { client, without_tls: self.without_tls };
        if exchange.allowed(&self.issuer).is_err() {
            return Err(Invalid { field: "issuer", why: "must be a URL with https" });
        }
        if self.jwks.as_ref().is_some_and(|jwks| exchange.allowed(jwks).is_err()) {
            return Err(Invalid { field: "jwks", why: "must be a URL with https" });
        }
        if self.kept.is_zero() {
            return Err(Invalid { field: "kept", why: "must be more than zero" });
        }
        if self.interval.is_zero() || self.interval > PATIENCE {
            return Err(Invalid {
                field: "interval",
                why: "must be more than zero and 10 s at most",
            });
        }
        let asking = Asking { interval: self.interval, patience: PATIENCE };
        let fetch = FetchKeys { config: self, exchange, jwks: None, last: None, keys: None };
        let fresh = Fresh::start(fetch, asking, told);
        Ok(Keys::fetched(fresh.current().clone(), Arc::new(fresh)))
    }
}

/// How long a call waits for keys.
const PATIENCE: Duration = Duration::from_secs(10);

impl Missing for Fresh<KeySet> {
    fn refreshed(&self, until: Option<Instant>) -> BoxFuture<'static, ()> {
        Fresh::refreshed(self, until)
    }

    fn snapshot(&self) -> Value {
        Fresh::snapshot(self)
    }
}

struct FetchKeys {
    config: Issuer,
    exchange: Exchange,
    /// Where the keys are, if that is known.
    jwks: Option<String>,
    /// The last document: while it is the same, so are the keys.
    last: Option<Bytes>,
    /// The keys in it.
    keys: Option<KeySet>,
}

impl FetchKeys {
    /// Where the keys are.
    async fn find(&self) -> Result<String, Error> {
        let known = self.config.jwks.as_ref().or(self.jwks.as_ref());
        if let Some(known) = known {
            return Ok(known.clone());
        }
        Ok(self.exchange.discover(&self.config.issuer).await?.jwks_uri)
    }

    async fn fetch_from(&mut self, url: &str) -> Result<Fetched<KeySet>, Error> {
        let response = self.exchange.get(url).await?;
        let fresh = fresh(response.headers().get(CACHE_CONTROL).and_then(|it| it.to_str().ok()));
        let fetched = |value| Fetched { value, fresh, good: self.config.kept.max(fresh) };
        if self.last.as_ref() == Some(response.body()) {
            return Ok(fetched(None));
        }
        let text = str::from_utf8(response.body()).map_err(unavailable)?;
        let keys = KeySet::jwks(text).map_err(unavailable)?;
        if keys.is_secret() {
            return Err(unavailable(format!("{url} publishes secrets")));
        }
        let keys = keys.dated(self.keys.as_ref(), Instant::now());
        self.keys = Some(keys.clone());
        let fetched = fetched(Some(keys));
        self.last = Some(response.into_body());
        Ok(fetched)
    }
}

impl Fetch for FetchKeys {
    type Value = KeySet;

    async fn fetch(&mut self) -> Result<Fetched<KeySet>, Error> {
        let url = self.find().await?;
        let fetched = self.fetch_from(&url).await;
        // Where they are not, they may have been moved.
        self.jwks = fetched.is_ok().then_some(url);
        fetched
    }

    fn forget(&mut self) {
        self.last = None;
    }
}

/// How long keys are not fetched again: nine tenths of what `Cache-Control` says.
fn fresh(cache_control: Option<&str>) -> Duration {
    let directives = cache_control.into_iter().flat_map(|value| value.split(','));
    let age = directives.into_iter().find_map(|directive| {
        let (name, value) = directive.trim().split_once('=')?;
        let seconds = value.trim_matches('"').parse().ok()?;
        name.eq_ignore_ascii_case("max-age").then(|| Duration::from_secs(seconds))
    });
    let (shortest, longest) = (Duration::from_secs(60), Duration::from_secs(60 * 60));
    age.unwrap_or(Duration::from_secs(300)).clamp(shortest, longest) * 9 / 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_keys_are_fresh_is_believed_within_bounds() {
        let seconds = |value| fresh(value).as_secs();
        assert_eq!(seconds(None), 270);
        assert_eq!(seconds(Some("public, Max-Age=1000, must-revalidate")), 900);
        assert_eq!(seconds(Some("max-age=0")), 54);
        assert_eq!(seconds(Some("no-store")), 270);
        assert_eq!(seconds(Some("max-age=99999999")), 3240);
        assert_eq!(seconds(Some("max-age=-1, s-maxage=5")), 270);
    }
}
