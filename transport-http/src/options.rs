use crate::{Body, problem, tail::Hooks};
use http::{HeaderMap, HeaderName, request::Parts};
use purlin_endpoint::{Context, Error, Method};
use std::{fmt, sync::Arc, time::Duration};

pub(crate) type Before = Arc<dyn Fn(Context, &Parts) -> Result<Context, Error> + Send + Sync>;
pub(crate) type After = Arc<dyn Fn(&Context, &mut HeaderMap) + Send + Sync>;
pub(crate) type ErrorEncoder = Arc<dyn Fn(&Context, &Error) -> http::Response<Body> + Send + Sync>;

/// Everything about a server that can be chosen. [`Server`](crate::Server) documents each.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) method: Option<&'static Method>,
    pub(crate) names: HeaderNames,
    pub(crate) body_limit: u64,
    pub(crate) body_idle: Duration,
    pub(crate) max_timeout: Option<Duration>,
    pub(crate) trusts_callers: bool,
    pub(crate) before: Vec<Before>,
    pub(crate) after: Vec<After>,
    pub(crate) error_encoder: Option<ErrorEncoder>,
    pub(crate) hooks: Arc<Hooks>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            method: None,
            names: HeaderNames::default(),
            body_limit: 2 * 1024 * 1024,
            body_idle: Duration::from_secs(10),
            max_timeout: None,
            trusts_callers: false,
            before: Vec::new(),
            after: Vec::new(),
            error_encoder: None,
            hooks: Arc::default(),
        }
    }
}

impl Options {
    pub(crate) fn encode_error(&self, context: &Context, error: &Error) -> http::Response<Body> {
        match &self.error_encoder {
            Some(encoder) => encoder(context, error),
            None => problem::encode(context, error),
        }
    }
}

/// The names of the headers in which a call's facts travel, on a server and on a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeaderNames {
    /// How long the call may still take, in whole milliseconds: `x-request-timeout-ms`.
    pub timeout: HeaderName,
    /// The call's id: `x-request-id`. A response carries it too.
    pub request_id: HeaderName,
    /// How many attempts at the same call came before: `x-previous-attempts`.
    pub previous_attempts: HeaderName,
    /// How much the call matters: `x-criticality`.
    pub criticality: HeaderName,
}

impl Default for HeaderNames {
    fn default() -> Self {
        Self {
            timeout: HeaderName::from_static("x-request-timeout-ms"),
            request_id: HeaderName::from_static("x-request-id"),
            previous_attempts: HeaderName::from_static("x-previous-attempts"),
            criticality: HeaderName::from_static("x-criticality"),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("method", &self.method)
            .field("names", &self.names)
            .field("body_limit", &self.body_limit)
            .field("body_idle", &self.body_idle)
            .field("max_timeout", &self.max_timeout)
            .field("trusts_callers", &self.trusts_callers)
            .finish_non_exhaustive()
    }
}
