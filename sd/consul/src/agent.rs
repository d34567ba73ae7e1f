use crate::{ConsulRegistry, ConsulSource};
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Limited};
use purlin_endpoint::{BoxError, Code, Error, Invalid};
use purlin_http_client::HttpClient;
use std::{
    fmt::{self, Write},
    time::Duration,
};
use tokio::time::timeout;

/// A Consul agent.
///
/// Clones share a pool of connections.
#[derive(Clone)]
pub struct Consul {
    client: HttpClient,
    url: String,
    token: Option<String>,
    patience: Duration,
    pub(crate) datacenter: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) wait: Duration,
    pub(crate) stale: bool,
}

/// What is larger is no answer but an accident: 16 MiB hold some ten thousand instances.
const LARGEST: usize = 16 << 20;

impl Consul {
    /// The agent at this URL: `http://127.0.0.1:8500`. A path is put before those of the API.
    ///
    /// # Errors
    ///
    /// If this is no URL of `http` or `https` with a host.
    pub fn new(url: impl Into<String>) -> Result<Self, Invalid> {
        let url = url.into().trim_end_matches('/').to_owned();
        let uri: Uri = url.parse().map_err(|_| Invalid { field: "url", why: "is no URL" })?;
        if uri.host().is_none() || !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(Invalid { field: "url", why: "must begin with http:// or https://" });
        }
        Ok(Self {
            client: HttpClient::new(),
            url,
            token: None,
            patience: Duration::from_secs(2),
            datacenter: None,
            namespace: None,
            wait: Duration::from_secs(10),
            stale: false,
        })
    }

    /// Speaks to the agent through this client: over a Unix socket, or by TLS of one's own.
    #[must_use]
    pub fn client(self, client: HttpClient) -> Self {
        Self { client, ..self }
    }

    /// Shows this token to the agent.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self }
    }

    /// Follows the services of this datacenter. The agent's own unless set.
    #[must_use]
    pub fn datacenter(self, datacenter: impl Into<String>) -> Self {
        Self { datacenter: Some(datacenter.into()), ..self }
    }

    /// Follows and registers in this namespace of Consul Enterprise. The token's own unless set.
    #[must_use]
    pub fn namespace(self, namespace: impl Into<String>) -> Self {
        Self { namespace: Some(namespace.into()), ..self }
    }

    /// How long a blocking query waits for a change: 10 s unless set, 10 minutes at most.
    ///
    /// It says how often the agent is asked at rest, and how long a connection that was lost
    /// without a word goes unnoticed: this, the sixteenth of it that the agent may add, and the
    /// [`patience`](Self::patience). With the defaults, that is one query in 10 s, and 12.6 s.
    #[must_use]
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// How long an answer may take beyond what the query waits: 2 s unless set.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Whether any server may answer, not only the leader: that is quicker, goes on while there is
    /// no leader, and may be some milliseconds behind. It may not unless set.
    #[must_use]
    pub fn stale(self, stale: bool) -> Self {
        Self { stale, ..self }
    }

    /// Follows the instances of a service.
    pub fn source(&self, service: impl Into<String>) -> ConsulSource {
        ConsulSource::new(self.clone(), service.into())
    }

    /// Registers instances of a service.
    pub fn registry(&self, service: impl Into<String>) -> ConsulRegistry {
        ConsulRegistry::new(self.clone(), service.into())
    }

    /// The URL of a path, the last part of which is any text, and a query.
    pub(crate) fn url(&self, path: &str, last: &str, query: &[(&str, &str)]) -> String {
        let mut url = format!("{}/v1/{path}", self.url);
        escape(&mut url, last);
        let namespace = self.namespace.as_deref().map(|namespace| ("ns", namespace));
        for (at, (name, value)) in query.iter().copied().chain(namespace).enumerate() {
            url.push(if at == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            escape(&mut url, value);
        }
        url
    }

    /// One exchange, for which the agent may think for so long. Every error names the URL.
    pub(crate) async fn call(
        &self,
        method: Method,
        url: &str,
        body: String,
        thinks: Duration,
    ) -> Result<Response<Vec<u8>>, Error> {
        let limit = thinks.saturating_add(self.patience);
        match timeout(limit, self.exchange(method, url, body)).await {
            Ok(Ok(answer)) if answer.status().is_success() => Ok(answer),
            Ok(Ok(answer)) => Err(refused(url, &answer)),
            Ok(Err(error)) => Err(failed(Code::Unavailable, url, error)),
            Err(_) => {
                Err(Error::new(Code::DeadlineExceeded, format!("{url}: no answer in {limit:?}")))
            }
        }
    }

    async fn exchange(
        &self,
        method: Method,
        url: &str,
        body: String,
    ) -> Result<Response<Vec<u8>>, BoxError> {
        let mut request = Request::builder().method(method).uri(url);
        if let Some(token) = &self.token {
            let mut token = HeaderValue::try_from(token)?;
            token.set_sensitive(true);
            request = request.header("x-consul-token", token);
        }
        let answer = self.client.send(request.body(body)?).await?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LARGEST).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body.into()))
    }
}

/// The token is nobody's business.
impl fmt::Debug for Consul {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consul").field("url", &self.url).finish_non_exhaustive()
    }
}

fn escape(url: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // A string takes everything.
            let _ = write!(url, "%{byte:02X}");
        }
    }
}

pub(crate) fn failed(code: Code, url: &str, error: impl Into<BoxError>) -> Error {
    let error = error.into();
    Error::of(code).public(format!("{url}: {error}")).caused_by(error)
}

/// Consul says in the body what it did not like.
fn refused(url: &str, answer: &Response<Vec<u8>>) -> Error {
    let code = match answer.status().as_u16() {
        400 => Code::InvalidArgument,
        401 | 403 => Code::PermissionDenied,
        404 => Code::NotFound,
        _ => Code::Unavailable,
    };
    let said: String = String::from_utf8_lossy(answer.body()).trim().chars().take(200).collect();
    Error::new(code, format!("{url}: {}: {said}", answer.status()))
}
