//! Requests to an issuer.

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use purlin_endpoint::{Code, Error};
use purlin_http_client::HttpClient;
use serde::{Deserialize, de::DeserializeOwned};
use std::time::Duration;

/// No document of an issuer is longer.
const LONGEST: usize = 256 * 1024;

/// No issuer is waited for longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How an issuer may be reached.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) client: HttpClient,
    pub(crate) without_tls: bool,
}

impl Exchange {
    /// A URI that may be asked: over TLS, unless it was said that this is not needed.
    pub(crate) fn allowed(&self, uri: &str) -> Result<Uri, Error> {
        let uri: Uri = uri.parse().map_err(|_| unavailable(format!("{uri:?} is no URI")))?;
        match uri.scheme_str() {
            Some("https") => Ok(uri),
            Some("http") if self.without_tls => Ok(uri),
            _ => Err(unavailable(format!("{uri} is not https"))),
        }
    }

    /// What an issuer says of itself.
    pub(crate) async fn discover(&self, issuer: &str) -> Result<Configuration, Error> {
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let configuration: Configuration = read(&self.get(&url).await?)?;
        if configuration.issuer != issuer {
            let other = configuration.issuer;
            return Err(unavailable(format!("{url} is the configuration of {other:?}")));
        }
        Ok(configuration)
    }

    pub(crate) async fn get(&self, uri: &str) -> Result<Response<Bytes>, Error> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = self.allowed(uri)?;
        let response = self.send(request).await?;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(unavailable(format!("{uri} answered {status}"))),
        }
    }

    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, Error> {
        let uri = request.uri().clone();
        let exchange = async {
            let response = self.client.send(request).await.map_err(unavailable)?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LONGEST).collect().await.map_err(unavailable)?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(unavailable(format!("{uri} took longer than {PATIENCE:?}"))),
        }
    }
}

/// Of an issuer's configuration, what is needed here.
#[derive(Deserialize)]
pub(crate) struct Configuration {
    issuer: String,
    pub(crate) jwks_uri: String,
    #[serde(default)]
    pub(crate) token_endpoint: Option<String>,
}

/// What an answer says, as JSON.
pub(crate) fn read<T: DeserializeOwned>(response: &Response<Bytes>) -> Result<T, Error> {
    serde_json::from_slice(response.body()).map_err(unavailable)
}

pub(crate) fn unavailable(why: impl Into<purlin_endpoint::BoxError>) -> Error {
    Error::new(Code::Unavailable, why)
}
