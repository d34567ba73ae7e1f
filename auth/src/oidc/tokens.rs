use super::{
    exchange::{Exchange, read, unavailable},
    fresh::{Asking, Fetch, Fetched, Fresh},
};
use crate::{Authenticate, Authenticating, Credentials, Unauthenticated};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{
    HeaderValue, Request, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::Full;
use purlin_endpoint::{Context, Error, Inspect, Invalid};
use purlin_http_client::HttpClient;
use serde::Deserialize;
use serde_json::json;
use std::{fmt, sync::Arc, time::Duration};

/// How a program gets a token of its own, by
/// [RFC 6749](https://www.rfc-editor.org/rfc/rfc6749#section-4.4).
///
/// The token is fetched at once, and again when four fifths of its time are over. If that fails, it
/// is used until its end. The client proves who it is with its secret, by HTTP's basic scheme.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCredentials {
    place: Place,
    id: String,
    secret: String,
    form: Vec<(String, String)>,
    without_tls: bool,
}

/// Where a token is had.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// At this URL.
    Endpoint(String),
    /// Where the configuration of this issuer says.
    Issuer(String),
}

impl ClientCredentials {
    /// A client of this id and secret, at an issuer whose token endpoint has this URL.
    pub fn new(url: impl Into<String>, id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self::of(Place::Endpoint(url.into()), id.into(), secret.into())
    }

    /// A client of this id and secret, at the issuer of this name, which is a URL, below which its
    /// configuration says where its token endpoint is.
    pub fn at(issuer: impl Into<String>, id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self::of(Place::Issuer(issuer.into()), id.into(), secret.into())
    }

    fn of(place: Place, id: String, secret: String) -> Self {
        let form = vec![("grant_type".to_owned(), "client_credentials".to_owned())];
        Self { place, id, secret, form, without_tls: false }
    }

    /// Asks for these scopes, separated by spaces.
    #[must_use]
    pub fn scope(self, scope: impl Into<String>) -> Self {
        self.parameter("scope", scope)
    }

    /// Sends this parameter along: `resource`, or `audience` for some issuers.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.form.push((name.into(), value.into()));
        self
    }

    /// Sends the secret over plain HTTP, where everybody can read it: for tests, and for an issuer on
    /// the same machine.
    #[must_use]
    pub fn without_tls(self) -> Self {
        Self { without_tls: true, ..self }
    }

    /// Starts to fetch the token, in a task that ends when what this returns, and all layers made of
    /// it, are dropped, and tells of each failure. It must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If the URL is none or not of `https`, or the id is empty.
    pub fn start(
        self,
        client: HttpClient,
        told: impl Fn(&Error) + Send + 'static,
    ) -> Result<Tokens, Invalid> {
        let exchange = Exchange { client, without_tls: self.without_tls };
        let (Place::Endpoint(url) | Place::Issuer(url)) = &self.place;
        if exchange.allowed(url).is_err() {
            return Err(Invalid { field: "url", why: "must be a URL with https" });
        }
        if self.id.is_empty() {
            return Err(Invalid { field: "id", why: "must not be empty" });
        }
        let second = Duration::from_secs(1);
        let asking = Asking { interval: second, patience: 10 * second };
        let id = self.id.clone();
        let fetch = FetchToken { config: self, exchange, url: None };
        Ok(Tokens { id, fresh: Fresh::start(fetch, asking, told) })
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("place", &self.place)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A token that is kept fresh: what [`ClientCredentials::start`] makes.
///
/// [`Authenticate::layer`] makes a layer for clients of it, which gives each call the token, to be
/// written by [`inject`](crate::inject). A call that comes while there is none waits, 10 s at most,
/// and is then refused as `UNAVAILABLE`.
pub struct Tokens {
    id: String,
    fresh: Fresh<Credentials>,
}

impl Tokens {
    /// The token as it is now, if there is one.
    pub fn current(&self) -> Option<Credentials> {
        self.fresh.current().load().as_deref().cloned()
    }
}

impl Authenticate for Tokens {
    fn authenticate(self: &Arc<Self>, context: Context) -> Authenticating {
        if let Some(token) = self.current() {
            return Authenticating::Now(Ok(context.with(token)));
        }
        let refreshed = self.fresh.refreshed(context.deadline());
        let tokens = self.clone();
        let fetched = async move {
            refreshed.await;
            match tokens.current() {
                Some(token) => Ok(context.with(token)),
                None => Err(Unauthenticated::undecided("there is no token to show")),
            }
        };
        Authenticating::Later(fetched.boxed())
    }
}

/// Shows the client's id, whether there is a token, and how fetching it goes.
impl Inspect for Tokens {
    fn name(&self) -> String {
        "token".to_owned()
    }

    fn snapshot(&self) -> String {
        let (there, fetching) = (self.current().is_some(), self.fresh.snapshot());
        json!({ "client": self.id, "token": there, "fetching": fetching }).to_string()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

struct FetchToken {
    config: ClientCredentials,
    exchange: Exchange,
    /// Where the token is had, if that was found out.
    url: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Failure {
    error: String,
}

impl FetchToken {
    /// Where the token is had.
    async fn find(&self) -> Result<String, Error> {
        let issuer = match (&self.config.place, &self.url) {
            (Place::Endpoint(url), _) | (Place::Issuer(_), Some(url)) => return Ok(url.clone()),
            (Place::Issuer(issuer), None) => issuer,
        };
        let found = self.exchange.discover(issuer).await?.token_endpoint;
        found.ok_or_else(|| unavailable(format!("{issuer} names no token endpoint")))
    }

    fn request(&self, url: &str) -> Result<Request<Full<Bytes>>, Error> {
        let ClientCredentials { id, secret, form, .. } = &self.config;
        let encode = |text: &str| serde_urlencoded::to_string([("", text)]);
        let (id, secret) = (encode(id), encode(secret));
        // Both are form-encoded before they are joined; what was encoded is a pair without a name.
        let (id, secret) = (id.map_err(Error::internal)?, secret.map_err(Error::internal)?);
        let pair = STANDARD.encode(format!("{}:{}", &id[1..], &secret[1..]));
        let mut authorization =
            HeaderValue::try_from(format!("Basic {pair}")).map_err(Error::internal)?;
        authorization.set_sensitive(true);
        let body = serde_urlencoded::to_string(form).map_err(Error::internal)?;
        Request::post(self.exchange.allowed(url)?)
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(body))
            .map_err(Error::internal)
    }

    async fn fetch_from(&self, url: &str) -> Result<Fetched<Credentials>, Error> {
        let response = self.exchange.send(self.request(url)?).await?;
        if response.status() != StatusCode::OK {
            let status = response.status();
            let why = read::<Failure>(&response).map(|failure| failure.error).unwrap_or_default();
            return Err(unavailable(format!("no token: {status} {why:?}")));
        }
        let Answer { access_token, token_type, expires_in } = read(&response)?;
        if !token_type.eq_ignore_ascii_case("bearer") {
            return Err(unavailable(format!("the token is of type {token_type:?}")));
        }
        // Where nothing is said, an hour is what most issuers give; it is fetched sooner.
        let good = Duration::from_secs(expires_in.unwrap_or(300).clamp(1, 24 * 60 * 60));
        let value = Some(Credentials::bearer(&access_token));
        Ok(Fetched { value, fresh: good * 4 / 5, good })
    }
}

impl Fetch for FetchToken {
    type Value = Credentials;

    async fn fetch(&mut self) -> Result<Fetched<Credentials>, Error> {
        let url = self.find().await?;
        let fetched = self.fetch_from(&url).await;
        // Where none is had, that may be elsewhere now.
        self.url = fetched.is_ok().then_some(url);
        fetched
    }
}
