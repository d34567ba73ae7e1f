use super::Shared;
use crate::{Body, problem, tail::Tail, watch::Watch};
use http::{HeaderValue, Method, header::CONTENT_LENGTH};
use http_body::Body as HttpBody;
use purlin_endpoint::{BoxError, Code, Context, Criticality, Ending, Error, Service};
use std::{io, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// How much of an error's body is read.
const ERROR_LIMIT: u64 = 64 * 1024;

/// Sends a request and decodes the response, by the deadline.
pub(super) async fn exchange<H, E, D, Req, Fut, Res, B>(
    shared: Arc<Shared<E, D>>,
    mut http: H,
    context: Context,
    message: Req,
    ending: Option<Ending>,
) -> Result<Res, Error>
where
    H: Service<http::Request<Body>, Response = http::Response<B>, Error: Into<BoxError>>,
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
    E: Fn(&Context, &mut http::Request<Body>, Req) -> Result<(), Error>,
    D: Fn(http::Response<Body>) -> Fut,
    Fut: Future<Output = Result<Res, Error>>,
{
    let hooks = &shared.options.hooks;
    let tail = (!hooks.finalizers.is_empty()).then(|| Tail::new(hooks.clone(), context.clone()));
    let deadline = context.deadline();
    let now = Instant::now();
    // What is less than the wire can tell would have to be told as more than it is.
    if context.remaining(now).is_some_and(|left| left < Duration::from_millis(1)) {
        return Err(Error::of(Code::DeadlineExceeded).unreached());
    }
    let request = shared.request(&context, message, now)?;
    let answered = async {
        let response = http.call(request).await.map_err(failed)?;
        shared.response(&context, response.map(Body::new), ending, tail).await
    };
    match deadline {
        None => answered.await,
        Some(deadline) => timeout_at(deadline, answered)
            .await
            .unwrap_or_else(|_elapsed| Err(Error::of(Code::DeadlineExceeded))),
    }
}

impl<E, D> Shared<E, D> {
    fn request<Req>(
        &self,
        context: &Context,
        message: Req,
        now: Instant,
    ) -> Result<http::Request<Body>, Error>
    where
        E: Fn(&Context, &mut http::Request<Body>, Req) -> Result<(), Error>,
    {
        let mut request = http::Request::new(Body::empty());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        (self.encode)(context, &mut request, message)?;
        if request.uri().path().contains('{') {
            return Err(Error::internal(format!("{} is not filled in", request.uri().path())));
        }
        self.measure(&mut request);
        self.inform(context, &mut request, now);
        if self.options.before.is_empty() {
            return Ok(request);
        }
        let (mut parts, body) = request.into_parts();
        for before in &self.options.before {
            before(context, &mut parts)?;
        }
        Ok(http::Request::from_parts(parts, body))
    }

    /// Says how long the body is, if that is known: some servers take nothing else.
    fn measure(&self, request: &mut http::Request<Body>) {
        let length = request.body().size_hint().exact();
        let expected = matches!(self.method, Method::POST | Method::PUT | Method::PATCH);
        if let Some(length) = length.filter(|length| *length > 0 || expected) {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
    }

    /// Writes the facts of the call into the head.
    fn inform(&self, context: &Context, request: &mut http::Request<Body>, now: Instant) {
        let names = &self.options.names;
        let headers = request.headers_mut();
        if let Some(remaining) = context.remaining(now) {
            let ms = u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX);
            headers.insert(names.timeout.clone(), HeaderValue::from(ms));
        }
        if let Some(id) = context.request_id()
            && let Ok(id) = HeaderValue::from_str(id.as_str())
        {
            headers.insert(names.request_id.clone(), id);
        }
        if context.attempt() > 0 {
            headers.insert(names.previous_attempts.clone(), HeaderValue::from(context.attempt()));
        }
        if context.criticality() != Criticality::default() {
            let level = HeaderValue::from_static(context.criticality().as_str());
            headers.insert(names.criticality.clone(), level);
        }
    }

    async fn response<Fut, Res>(
        &self,
        context: &Context,
        response: http::Response<Body>,
        ending: Option<Ending>,
        mut tail: Option<Box<Tail>>,
    ) -> Result<Res, Error>
    where
        D: Fn(http::Response<Body>) -> Fut,
        Fut: Future<Output = Result<Res, Error>>,
    {
        let (parts, body) = response.into_parts();
        for after in &self.options.after {
            after(context, &parts);
        }
        if let Some(tail) = &mut tail {
            tail.head(parts.status, &parts.headers);
        }
        let succeeded = parts.status.is_success();
        let body = body.watched(Watch {
            limit: Some(if succeeded { self.options.body_limit } else { ERROR_LIMIT }),
            deadline: context.deadline(),
            broken: Some(Code::Unavailable),
            endings: [ending, None],
            tail,
            ..Watch::default()
        });
        if !succeeded {
            // An error that can't be read is still one.
            let body = body.bytes().await.unwrap_or_default();
            return Err(problem::decode(parts.status, &parts.headers, &body));
        }
        (self.decode)(http::Response::from_parts(parts, body)).await
    }
}

/// The error of an exchange without a response. A connection that was never made did nothing.
pub(super) fn failed(error: impl Into<BoxError>) -> Error {
    let error = match error.into().downcast::<Error>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    let unreached = never_connected(&*error);
    let error = Error::new(Code::Unavailable, error);
    if unreached { error.unreached() } else { error }
}

#[cfg(feature = "client")]
fn is_connect(error: &(dyn std::error::Error + 'static)) -> bool {
    error
        .downcast_ref::<purlin_http_client::Error>()
        .is_some_and(purlin_http_client::Error::is_connect)
}

#[cfg(not(feature = "client"))]
fn is_connect(_: &(dyn std::error::Error + 'static)) -> bool {
    false
}

fn never_connected(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if is_connect(error) {
            return true;
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
            );
        }
        next = error.source();
    }
    false
}
