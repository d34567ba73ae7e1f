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
use purlin_endpoint::{Context, Error, Invalid};
use purlin_http_client::HttpClient;
use serde::Deserialize;
use std::{fmt, sync::Arc, time::Duration};

/// How a program gets a token of its own, by
/// [RFC 6749](https://www.rfc-editor.org/rfc/rfc6749#section-4.4).
///
/// The token is fetched at once, and again when four fifths of its time are over. If that fails, it
/// is used until its end. The client proves who it is with its secret, by HTTP's basic scheme.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCredentials {
    url: String,
    id: String,
    secret: String,
    form: Vec<(String, String)>,
    without_tls: bool,
}

impl ClientCredentials {
    /// A client of this id and secret, at an issuer whose token endpoint has this URL.
    pub fn new(url: impl Into<String>, id: impl Into<String>, secret: impl Into<String>) -> Self {
        let form = vec![("grant_type".to_owned(), "client_credentials".to_owned())];
        let (url, id, secret) = (url.into(), id.into(), secret.into());
        Self { url, id, secret, form, without_tls: false }
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
        if exchange.allowed(&self.url).is_err() {
            return Err(Invalid { field: "url", why: "must be a URL with https" });
        }
        if self.id.is_empty() {
            return Err(Invalid { field: "id", why: "must not be empty" });
        }
        let second = Duration::from_secs(1);
        let asking = Asking { interval: second, patience: 10 * second };
        Ok(Tokens(Fresh::start(FetchToken { config: self, exchange }, asking, told)))
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("url", &self.url)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A token that is kept fresh: what [`ClientCredentials::start`] makes.
///
/// [`Authenticate::layer`] makes a layer for clients of it, which gives each call the token, to be
/// written by [`inject`](crate::inject). A call that comes while there is none waits, 10 s at most,
/// and is then refused as `UNAVAILABLE`.
pub struct Tokens(Fresh<Credentials>);

impl Tokens {
    /// The token as it is now, if there is one.
    pub fn current(&self) -> Option<Credentials> {
        self.0.current().load().as_deref().cloned()
    }
}

impl Authenticate for Tokens {
    fn authenticate(self: &Arc<Self>, context: Context) -> Authenticating {
        if let Some(token) = self.current() {
            return Authenticating::Now(Ok(context.with(token)));
        }
        let refreshed = self.0.refreshed(context.deadline());
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

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

struct FetchToken {
    config: ClientCredentials,
    exchange: Exchange,
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
    fn request(&self) -> Result<Request<Full<Bytes>>, Error> {
        let ClientCredentials { url, id, secret, form, .. } = &self.config;
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
}

impl Fetch for FetchToken {
    type Value = Credentials;

    async fn fetch(&mut self) -> Result<Fetched<Credentials>, Error> {
        let response = self.exchange.send(self.request()?).await?;
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
