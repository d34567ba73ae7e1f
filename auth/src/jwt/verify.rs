use super::{
    Algorithm, Claims, Jwt, KeySet, Keys, Refused,
    cache::Cache,
    claims::Registered,
    compact::{Buffer, Compact},
    json::Texts,
};
use crate::{
    Authenticate, Authenticating, Credentials, Principal, Scheme, Unauthenticated, quoted,
};
use arc_swap::ArcSwapOption;
use futures_util::FutureExt as _;
use purlin_endpoint::{Context, Inspect};
use serde::de::DeserializeOwned;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Finds out whether tokens are what they say.
///
/// ```
/// use purlin_auth::jwt::{Algorithm, Jwt, Key, Refused, SigningKey};
/// use std::time::{Duration, SystemTime};
///
/// #[derive(serde::Deserialize)]
/// struct Mine { tenant: String }
///
/// let secret = b"32 bytes that nobody else may know";
/// let verifier = Jwt::new([Algorithm::Hs256], "https://issuer.example", "greeter")
///     .verifier::<Mine>(Key::secret(secret)?)?;
///
/// let token = SigningKey::secret(Algorithm::Hs256, secret)?.sign(&serde_json::json!({
///     "iss": "https://issuer.example", "aud": "greeter", "sub": "ada", "exp": 1000, "tenant": "acme",
/// }))?;
/// let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
/// let verified = verifier.verify(&token, at(999))?;
/// assert_eq!(verified.claims.tenant, "acme");
/// assert_eq!(verified.principal.unwrap().name(), "ada");
/// assert!(matches!(verifier.verify(&token, at(1000)), Err(Refused::Expired)));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// [`Authenticate::layer`] makes a layer of it. Where a token is missing, its challenge is
/// `Bearer realm="…"`, and where it is no good, that has `error="invalid_token"`, by
/// [RFC 6750](https://www.rfc-editor.org/rfc/rfc6750#section-3).
///
/// A good token without `sub` is let in and names nobody: the call has its claims and no
/// [`Principal`], not even one that a layer further out has found, so that rules allow it what they
/// allow anyone. What the token says of roles and scopes is in its claims.
pub struct Verifier<T> {
    config: Jwt,
    keys: Keys,
    cache: Option<Cache<Verified<T>>>,
    /// The header of the last good token: nearly all tokens of an issuer have the same.
    header: ArcSwapOption<Known>,
    clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
    roles: Option<Box<Roles<T>>>,
}

type Roles<T> = dyn Fn(&T) -> Vec<String> + Send + Sync;

/// A header that was found to be good.
struct Known {
    encoded: Box<str>,
    algorithm: Algorithm,
    key: Option<Box<str>>,
}

/// A token that is what it says.
#[derive(Debug)]
#[non_exhaustive]
pub struct Verified<T> {
    /// Its subject, with its scopes; `None` if it has no `sub`.
    pub principal: Option<Principal>,
    /// Its claims.
    pub claims: Claims<T>,
    /// Its end, in seconds since 1970.
    expires: Option<u64>,
}

impl<T> Clone for Verified<T> {
    fn clone(&self) -> Self {
        let (principal, claims) = (self.principal.clone(), self.claims.clone());
        Self { principal, claims, expires: self.expires }
    }
}

impl<T> Verifier<T> {
    pub(crate) fn new(config: Jwt, keys: Keys) -> Self {
        let cache = (config.remembered > 0).then(|| Cache::new(config.remembered));
        let header = ArcSwapOption::empty();
        Self { config, keys, cache, header, clock: Box::new(SystemTime::now), roles: None }
    }

    /// Reads the time from this clock, for tests.
    #[must_use]
    pub fn clock(self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self { clock: Box::new(clock), ..self }
    }

    /// Finds the roles of a subject in its claims. It has none unless this is set.
    #[must_use]
    pub fn roles(self, roles: impl Fn(&T) -> Vec<String> + Send + Sync + 'static) -> Self {
        Self { roles: Some(Box::new(roles)), ..self }
    }

    /// The keys that tokens are verified with.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }
}

impl<T: DeserializeOwned> Verifier<T> {
    /// Finds out whether a token may be used at this time.
    ///
    /// It asks nobody for keys: with those that are fetched, it knows what is there just now.
    ///
    /// # Errors
    ///
    /// Why it may not be used.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Verified<T>, Refused> {
        let keys = self.keys.current().ok_or(Refused::UnknownKey(None))?;
        // A clock that stands before 1970 stands at 1970, when no token was valid.
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let Some(cache) = &self.cache else { return self.verify_with(&keys, token, now) };
        if let Some(verified) = cache.get(token, &keys) {
            return match verified.expires {
                Some(end) if now >= Duration::from_secs(end) + self.config.leeway => {
                    Err(Refused::Expired)
                }
                _ => Ok(verified),
            };
        }
        let verified = self.verify_with(&keys, token, now)?;
        cache.put(token, verified.clone(), keys);
        Ok(verified)
    }

    fn verify_with(
        &self,
        keys: &KeySet,
        token: &str,
        now: Duration,
    ) -> Result<Verified<T>, Refused> {
        let compact = Compact::cut(token)?;
        let last = self.header.load();
        let mut new = None;
        let header: &Known = match &*last {
            Some(known) if *known.encoded == *compact.header => known,
            _ => new.insert(Arc::new(self.read_header(&compact)?)),
        };
        let (algorithm, id) = (header.algorithm, header.key.as_deref());
        let payload = compact.claims()?;
        let claims = Registered::read(&payload)?;
        self.check(&claims, now)?;
        let unknown = || Refused::UnknownKey(id.map(Into::into));
        let key = keys.find(algorithm, id).ok_or_else(unknown)?;
        let mut buffer = Buffer::new();
        if !key.verify(algorithm, compact.signed, compact.signature(&mut buffer)?) {
            return Err(Refused::Signature);
        }
        if new.is_some() {
            self.header.store(new);
        }
        let own: T =
            serde_json::from_str(&payload).map_err(|why| Refused::Claims(why.to_string()))?;
        Ok(self.verified(&claims, own))
    }

    fn read_header(&self, compact: &Compact<'_>) -> Result<Known, Refused> {
        let mut buffer = Buffer::new();
        let header = compact.header(&mut buffer)?;
        let algorithm = header.algorithm()?;
        if !self.config.algorithms.contains(&algorithm) {
            return Err(Refused::Algorithm(algorithm.as_str().into()));
        }
        if !self.config.accepts_type(header.kind.as_deref()) {
            return Err(Refused::Type(header.kind.unwrap_or_default().into_owned()));
        }
        let key = header.key.map(Into::into);
        Ok(Known { encoded: compact.header.into(), algorithm, key })
    }

    fn check(&self, claims: &Registered<'_>, now: Duration) -> Result<(), Refused> {
        let config = &self.config;
        if claims.expires.is_none() && !config.unexpiring {
            return Err(Refused::Expired);
        }
        claims.check_times(now, config.leeway)?;
        if !config.any_issuer && claims.issuer.as_deref() != Some(&*config.issuer) {
            return Err(Refused::Issuer);
        }
        let is_ours = |audience| config.audiences.iter().any(|known| known == audience);
        let audiences = claims.audience.as_ref().map_or(&[][..], Texts::all);
        if !config.any_audience && !audiences.iter().any(|audience| is_ours(&**audience)) {
            return Err(Refused::Audience);
        }
        Ok(())
    }

    fn verified(&self, claims: &Registered<'_>, own: T) -> Verified<T> {
        let principal = claims.subject.as_deref().map(|subject| {
            let scopes = claims.scope.iter().flat_map(|scope| scope.split(' '));
            let roles = self.roles.iter().flat_map(|roles| roles(&own));
            Principal::new(Scheme::Jwt, subject)
                .scopes(scopes.filter(|scope| !scope.is_empty()))
                .roles(roles)
        });
        Verified { principal, claims: Claims(Arc::new(own)), expires: claims.expires }
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Verifier<T> {
    /// The context with what is known of the caller.
    fn enter(&self, context: Context) -> Result<Context, (Context, Refused)> {
        let verified = match context.get::<Credentials>().and_then(Credentials::token) {
            Some(token) => self.verify(token, (self.clock)()),
            None => Err(Refused::Missing),
        };
        match verified {
            Ok(Verified { principal, claims, .. }) => {
                let context = context.with(claims);
                Ok(match principal {
                    Some(principal) => context.with(principal),
                    // Who a layer further out has let in is not whose token this is.
                    None => context.without::<Principal>(),
                })
            }
            Err(why) => Err((context, why)),
        }
    }

    fn refuse(&self, why: Refused) -> Unauthenticated {
        if matches!(why, Refused::UnknownKey(_)) && self.keys.current().is_none() {
            return Unauthenticated::undecided("the issuer's keys have not been fetched yet");
        }
        let realm = self.config.audiences.first().map_or("", |audience| audience);
        let mut challenge = format!("Bearer realm={}", quoted(realm));
        if why != Refused::Missing {
            challenge.push_str(", error=\"invalid_token\"");
        }
        Unauthenticated::new(challenge, why)
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Authenticate for Verifier<T> {
    fn authenticate(self: &Arc<Self>, context: Context) -> Authenticating {
        let (context, why) = match self.enter(context) {
            Ok(context) => return Authenticating::Now(Ok(context)),
            Err(refused) => refused,
        };
        if !matches!(why, Refused::UnknownKey(_)) {
            return Authenticating::Now(Err(self.refuse(why)));
        }
        let Some(refreshed) = self.keys.refreshed(context.deadline()) else {
            return Authenticating::Now(Err(self.refuse(why)));
        };
        let verifier = self.clone();
        let again = async move {
            refreshed.await;
            verifier.enter(context).map_err(|(_, why)| verifier.refuse(why))
        };
        Authenticating::Later(again.boxed())
    }
}

/// Shows what is accepted, the keys with their ages, how fetching them goes, and how many tokens are
/// remembered.
impl<T: Send + Sync> Inspect for Verifier<T> {
    fn name(&self) -> String {
        "jwt".to_owned()
    }

    fn snapshot(&self) -> String {
        let Jwt { issuer, any_issuer, audiences, any_audience, algorithms, .. } = &self.config;
        let names: Vec<_> = algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
        serde_json::json!({
            "issuer": (!any_issuer).then_some(issuer),
            "audiences": (!any_audience).then_some(audiences),
            "algorithms": names,
            "keys": self.keys.current().map(|keys| keys.snapshot(algorithms)),
            "fetching": self.keys.fetching(),
            "remembered": self.cache.as_ref().map(Cache::count),
        })
        .to_string()
    }
}

impl<T> fmt::Debug for Verifier<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("config", &self.config)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}
