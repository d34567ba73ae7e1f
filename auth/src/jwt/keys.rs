use super::{Algorithm, BadKey, Key, jwk};
use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::{fmt, sync::Arc};
use tokio::time::Instant;

/// Keys that belong together: those of one issuer.
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// More keys than any issuer has at once.
const MOST: usize = 100;

impl KeySet {
    /// A set of these keys.
    ///
    /// # Errors
    ///
    /// If there are none, or more than 100; if two have the same name; or if there are secrets among
    /// public keys, which is a leak or an invitation to one.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, BadKey> {
        let keys: Vec<Key> = keys.into_iter().collect();
        if keys.is_empty() || keys.len() > MOST {
            return Err(BadKey::Invalid("a set has 1 to 100 keys"));
        }
        let secrets = keys.iter().filter(|key| key.material.is_secret()).count();
        if secrets != 0 && secrets != keys.len() {
            return Err(BadKey::Invalid("there are secrets among public keys"));
        }
        jwk::distinct(keys.iter().filter_map(|key| key.id.as_deref()))?;
        Ok(Self { keys })
    }

    /// The keys of a JWKS document, by [RFC 7517](https://www.rfc-editor.org/rfc/rfc7517#section-5).
    ///
    /// Those that are for something else, are not supported or are too weak are left out.
    ///
    /// # Errors
    ///
    /// If it is no such document, holds no key that can be used, or as for [`new`](Self::new).
    pub fn jwks(json: &str) -> Result<Self, BadKey> {
        let (good, bad): (Vec<_>, Vec<_>) = jwk::set(json)?.into_iter().partition(Result::is_ok);
        match (good.is_empty(), bad.into_iter().next()) {
            (true, Some(Err(why))) => Err(why),
            _ => Self::new(good.into_iter().flatten()),
        }
    }

    /// Tells when each key came: now, or with an earlier set that had one of its name.
    #[cfg(feature = "oidc")]
    pub(crate) fn dated(mut self, before: Option<&Self>, now: Instant) -> Self {
        for key in &mut self.keys {
            let known = before.and_then(|it| it.keys.iter().find(|known| known.id == key.id));
            key.since = known.map_or(Some(now), |known| known.since);
        }
        self
    }

    /// Each key: its name, those of these algorithms that it is for, and for how many seconds it has
    /// been there, if it was fetched.
    pub(crate) fn snapshot(&self, algorithms: &[Algorithm]) -> Value {
        let keys = self.keys.iter().map(|key| {
            let fitting = algorithms.iter().filter(|algorithm| key.fits(**algorithm));
            let fitting: Vec<_> = fitting.map(|algorithm| algorithm.as_str()).collect();
            let age = key.since.map(|since| since.elapsed().as_secs());
            json!({ "key": key.id, "algorithms": fitting, "age_s": age })
        });
        keys.collect()
    }

    /// Whether tokens that are verified with these keys could be made with them as well.
    #[cfg(feature = "oidc")]
    pub(crate) fn is_secret(&self) -> bool {
        self.keys.iter().any(|key| key.material.is_secret())
    }

    /// The key for a token of this algorithm that names this key, if it names one: the key of that
    /// name, or the only one there is. A key without a name is for tokens that name any.
    pub(crate) fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Option<&Key> {
        let fitting = || self.keys.iter().filter(|key| key.fits(algorithm));
        let named = id.and_then(|id| fitting().find(|key| key.id.as_deref() == Some(id)));
        named.or_else(|| {
            let mut others = fitting().filter(|key| id.is_none() || key.id.is_none());
            others.next().filter(|_| others.next().is_none())
        })
    }
}

impl From<Key> for KeySet {
    fn from(key: Key) -> Self {
        Self { keys: vec![key] }
    }
}

/// The keys that tokens are verified with now. Clones are the same keys.
#[derive(Clone)]
pub struct Keys {
    current: Arc<ArcSwapOption<KeySet>>,
    missing: Option<Arc<dyn Missing>>,
}

/// Where keys come from that may be others tomorrow.
pub(crate) trait Missing: Send + Sync {
    /// Waits until they have been asked for again, and no longer than until then; or does not, as
    /// they are not asked for each time that somebody misses one.
    fn refreshed(&self, until: Option<Instant>) -> BoxFuture<'static, ()>;

    /// How the fetching goes.
    fn snapshot(&self) -> Value;
}

impl Keys {
    /// Verifies with these from now on.
    pub fn replace(&self, keys: impl Into<KeySet>) {
        self.current.store(Some(Arc::new(keys.into())));
    }

    #[cfg(feature = "oidc")]
    pub(crate) fn fetched(current: Arc<ArcSwapOption<KeySet>>, missing: Arc<dyn Missing>) -> Self {
        Self { current, missing: Some(missing) }
    }

    /// How the fetching goes, if they are fetched.
    pub(crate) fn fetching(&self) -> Option<Value> {
        self.missing.as_ref().map(|missing| missing.snapshot())
    }

    pub(crate) fn current(&self) -> Option<Arc<KeySet>> {
        self.current.load_full()
    }

    pub(crate) fn refreshed(&self, until: Option<Instant>) -> Option<BoxFuture<'static, ()>> {
        self.missing.as_ref().map(|missing| missing.refreshed(until))
    }
}

impl<T: Into<KeySet>> From<T> for Keys {
    fn from(keys: T) -> Self {
        let current = Arc::new(ArcSwapOption::from_pointee(keys.into()));
        Self { current, missing: None }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.current()).finish()
    }
}
