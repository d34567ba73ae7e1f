//! Encoders: what makes an HTTP response of a response.
//!
//! Each is a function, to be given to [`Server::new`](crate::Server::new) as it is or called from
//! one of your own:
//!
//! ```
//! use purlin_endpoint::{Context, Error};
//! use purlin_transport_http::{Body, encode};
//!
//! /// A status that depends on the response, and a header.
//! fn created(context: &Context, id: u64) -> Result<http::Response<Body>, Error> {
//!     context.reply().header("location", format!("/profiles/{id}"));
//!     let mut response = encode::json(context, id)?;
//!     *response.status_mut() = http::StatusCode::CREATED;
//!     Ok(response)
//! }
//!
//! let response = created(&Context::default(), 7).unwrap();
//! assert_eq!(response.status(), 201);
//! ```

pub use crate::problem::encode as problem;
#[cfg(feature = "proto")]
pub use crate::proto::encode_response as proto;

use crate::{Body, Event, lines, stream};
use bytes::Bytes;
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use purlin_endpoint::{Context, Error, Streaming};
use serde::Serialize;
use std::time::Duration;

/// How long an event stream is silent at most: shorter than what proxies take for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Encodes as JSON.
///
/// # Errors
///
/// If the value can't be serialized: an internal error.
pub fn json<T: Serialize>(_: &Context, value: T) -> Result<http::Response<Body>, Error> {
    let body = serde_json::to_vec(&value).map_err(Error::internal)?;
    Ok(typed(const { HeaderValue::from_static("application/json") }, body.into()))
}

/// Answers 204, without a body.
///
/// # Errors
///
/// None.
pub fn no_content<T>(_: &Context, _: T) -> Result<http::Response<Body>, Error> {
    let mut response = http::Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Sends bytes or text as they are, as `application/octet-stream`.
///
/// # Errors
///
/// None.
pub fn raw<T: Into<Bytes>>(_: &Context, bytes: T) -> Result<http::Response<Body>, Error> {
    Ok(typed(const { HeaderValue::from_static("application/octet-stream") }, bytes.into().into()))
}

/// Sends text, as `text/plain`.
///
/// # Errors
///
/// None.
pub fn text<T: Into<String>>(_: &Context, text: T) -> Result<http::Response<Body>, Error> {
    Ok(typed(const { HeaderValue::from_static("text/plain; charset=utf-8") }, text.into().into()))
}

/// Streams one JSON value a line, as they come, as `application/x-ndjson`.
///
/// An error in the stream breaks off the response, and is shown to the server's
/// [`error_handler`](crate::Server::error_handler).
///
/// # Errors
///
/// None.
pub fn json_lines<T: Serialize + 'static>(
    _: &Context,
    values: Streaming<T>,
) -> Result<http::Response<Body>, Error> {
    Ok(typed(const { HeaderValue::from_static(lines::CONTENT_TYPE) }, lines::encode(values)))
}

/// Streams server-sent events, as they come. When there was none for 15 s, a comment is sent.
///
/// An error in the stream breaks off the response, and is shown to the server's
/// [`error_handler`](crate::Server::error_handler).
///
/// # Errors
///
/// None.
pub fn sse(_: &Context, events: Streaming<Event>) -> Result<http::Response<Body>, Error> {
    let body =
        stream::body_with_heartbeat(events, |event| Ok(event.to_bytes()), HEARTBEAT, b":\n\n");
    let mut response = typed(const { HeaderValue::from_static("text/event-stream") }, body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// An encoder whose responses have this status.
pub fn status<T>(
    status: StatusCode,
    encode: impl Fn(&Context, T) -> Result<http::Response<Body>, Error> + Clone,
) -> impl Fn(&Context, T) -> Result<http::Response<Body>, Error> + Clone {
    move |context, response| {
        let mut response = encode(context, response)?;
        *response.status_mut() = status;
        Ok(response)
    }
}

/// A response of this type. The value is a constant, as checking one costs more than sending it.
pub(crate) fn typed(content_type: HeaderValue, body: Body) -> http::Response<Body> {
    let mut response = http::Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
