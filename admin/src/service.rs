use crate::Admin;
use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN},
};
use http_body_util::{BodyExt as _, Full, Limited};
use purlin_endpoint::{Peer, Service};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    convert::Infallible,
    error::Error,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
};

/// The most that may be said to an action, in bytes.
const MOST: usize = 16 * 1024;

/// The page, what it is made of, and whatever was mounted beside it, over HTTP.
///
/// - `GET /` is the page; `/page.js` and `/page.css` belong to it.
/// - `GET /state.json` is everything, as the page gets it.
/// - `POST /actions/NAME` with a JSON object of texts does something: 200 with `{"said": "…"}`, 400
///   with `{"error": "…"}`, 403 if actions are not enabled.
///
/// A caller that is not on this machine gets 403, unless
/// [`allow_remote`](Admin::allow_remote) was called. That is told by the [`Peer`] in the request's
/// extensions, where `purlin-serve` puts it; without one nobody is on this machine.
#[derive(Clone)]
pub struct AdminService(Arc<Admin>);

impl AdminService {
    pub(crate) fn new(admin: Admin) -> Self {
        Self(Arc::new(admin))
    }
}

/// The answers of one path.
pub(crate) struct Mounted(Box<dyn Fn(Request<()>) -> Answered + Send + Sync>);

type Answered = BoxFuture<'static, Response<Full<Bytes>>>;

impl Mounted {
    pub(crate) fn new<S>(service: S) -> Self
    where
        S: Service<Request<()>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>,
        S: Clone + Send + Sync + 'static,
    {
        Self(Box::new(move |request| {
            let mut service = service.clone();
            async move {
                let ready = std::future::poll_fn(|task| service.poll_ready(task)).await;
                let response = match ready {
                    Ok(()) => service.call(request).await,
                    Err(never) => match never {},
                };
                response.unwrap_or_else(|never| match never {})
            }
            .boxed()
        }))
    }

    pub(crate) fn text(
        content_type: &'static str,
        text: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(move |request| {
            let response = match *request.method() {
                Method::GET | Method::HEAD => respond(StatusCode::OK, content_type, text().into()),
                _ => not_allowed("GET, HEAD"),
            };
            ready(response).boxed()
        }))
    }
}

impl<B> Service<Request<B>> for AdminService
where
    B: http_body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let admin = self.0.clone();
        async move {
            let head = *request.method() == Method::HEAD;
            let mut response = answer(&admin, request).await;
            let headers = response.headers_mut();
            headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
            for (name, value) in HARDENED {
                let (name, value) =
                    (HeaderName::from_static(name), HeaderValue::from_static(value));
                headers.entry(name).or_insert(value);
            }
            if head {
                *response.body_mut() = Full::default();
            }
            Ok(response)
        }
        .boxed()
    }
}

/// The page has nothing from elsewhere, is in nobody's frame and tells nobody where it was.
const HARDENED: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];

const HTML: &str = include_str!("page/page.html");
const SCRIPT: &str = include_str!("page/page.js");
const STYLE: &str = include_str!("page/page.css");

async fn answer<B>(admin: &Admin, request: Request<B>) -> Response<Full<Bytes>>
where
    B: http_body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    if !admin.remote
        && let Err(why) = is_local(&request)
    {
        return text(StatusCode::FORBIDDEN, why);
    }
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if let Some(mounted) = admin.mounted.get(path) {
        return (mounted.0)(Request::from_parts(parts, ())).await;
    }
    if let Some(name) = path.strip_prefix("/actions/") {
        return match parts.method {
            Method::POST => act(admin, name, &parts.headers, &parts.uri, body).await,
            _ => not_allowed("POST"),
        };
    }
    let (content_type, content): (_, Cow<'static, str>) = match path {
        "/" => ("text/html; charset=utf-8", HTML.into()),
        "/page.js" => ("text/javascript; charset=utf-8", SCRIPT.into()),
        "/page.css" => ("text/css; charset=utf-8", STYLE.into()),
        "/state.json" => ("application/json", admin.state().into()),
        _ => return text(StatusCode::NOT_FOUND, "not found"),
    };
    match parts.method {
        Method::GET | Method::HEAD => respond(StatusCode::OK, content_type, content),
        _ => not_allowed("GET, HEAD"),
    }
}

/// Whether the caller is on this machine and calls it by no foreign name.
fn is_local<B>(request: &Request<B>) -> Result<(), &'static str> {
    let local = match request.extensions().get::<Peer>() {
        Some(Peer::Tcp(address)) => address.ip().to_canonical().is_loopback(),
        Some(_) => true,
        None => false,
    };
    if !local {
        return Err("this is for callers on this machine");
    }
    let host = host(request.headers(), request.uri());
    if host.is_some_and(|host| !is_plain(host)) {
        return Err("this is for callers who name an address or localhost");
    }
    Ok(())
}

fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        // A name that is no text is no plain one.
        None => Some(headers.get(HOST)?.to_str().unwrap_or("?")),
    }
}

/// An address or `localhost`, with a port or without: nobody can have such a name point elsewhere.
fn is_plain(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    host.parse::<SocketAddr>().is_ok()
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
        || name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
}

async fn act<B>(
    admin: &Admin,
    name: &str,
    headers: &HeaderMap,
    uri: &Uri,
    body: B,
) -> Response<Full<Bytes>>
where
    B: http_body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    if !admin.acts {
        return error(StatusCode::FORBIDDEN, "actions are not enabled");
    }
    let Some(action) = admin.find(name) else {
        return error(StatusCode::NOT_FOUND, &format!("there is no action `{name}`"));
    };
    // A page from elsewhere can't send this type without being allowed to, which nobody does.
    let json = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    if json.is_none_or(|it| it.split(';').next().map(str::trim) != Some("application/json")) {
        return error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "an action takes application/json");
    }
    if let Some(origin) = headers.get(ORIGIN).and_then(|it| it.to_str().ok())
        && origin.split_once("://").map(|(_, host)| host) != host(headers, uri)
    {
        return error(StatusCode::FORBIDDEN, "an action is taken from this page only");
    }
    let Ok(said) = Limited::new(body, MOST).collect().await else {
        return error(StatusCode::PAYLOAD_TOO_LARGE, "an action takes at most 16 KiB");
    };
    let said: BTreeMap<String, String> = match serde_json::from_slice(&said.to_bytes()) {
        Ok(said) => said,
        Err(why) => {
            return error(StatusCode::BAD_REQUEST, &format!("this is no object of texts: {why}"));
        }
    };
    match action.perform(said) {
        Ok(said) => json_of(StatusCode::OK, "said", &said),
        Err(why) => error(StatusCode::BAD_REQUEST, &why),
    }
}

fn error(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    json_of(status, "error", why)
}

fn json_of(status: StatusCode, key: &str, text: &str) -> Response<Full<Bytes>> {
    let json = serde_json::Value::Object([(key.to_owned(), text.into())].into_iter().collect());
    respond(status, "application/json", json.to_string().into())
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", format!("{text}\n").into())
}

fn not_allowed(allowed: &'static str) -> Response<Full<Bytes>> {
    let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    refused.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    refused
}

fn respond(
    status: StatusCode,
    content_type: &'static str,
    body: Cow<'static, str>,
) -> Response<Full<Bytes>> {
    let body = match body {
        Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        Cow::Owned(text) => text.into(),
    };
    let length = body.len();
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // It is said for HEAD too, whose body is taken away.
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}

impl fmt::Debug for AdminService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AdminService").field(&self.0).finish()
    }
}
