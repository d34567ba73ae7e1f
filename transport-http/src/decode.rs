//! Decoders: what makes a message of a request.
//!
//! Each is an async function, to be given to [`Server::new`](crate::Server::new) as it is or called
//! from one of your own:
//!
//! ```
//! use purlin_endpoint::{Context, Error};
//! use purlin_transport_http::{Body, decode};
//!
//! #[derive(serde::Deserialize)]
//! struct Profile { name: String }
//!
//! #[derive(serde::Deserialize)]
//! struct Path { id: u64 }
//!
//! /// `PUT /profiles/{id}`
//! async fn put(context: Context, request: http::Request<Body>) -> Result<(u64, Profile), Error> {
//!     let Path { id } = decode::from_path(&request)?;
//!     Ok((id, decode::json(context, request).await?))
//! }
//! ```
//!
//! A request that can't be decoded is [`InvalidArgument`](purlin_endpoint::Code::InvalidArgument),
//! with the field or parameter as a violation. No text of the request is repeated.

#[cfg(feature = "proto")]
pub use crate::proto::decode_request as proto;

use crate::{
    Body, MatchedRoute, json, lines,
    pairs::{self, Part},
    problem::is_json,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use purlin_endpoint::{Code, Context, Error, Streaming};
use serde::de::DeserializeOwned;

/// Decodes the query: `?name=Ann&tag=a&tag=b`.
///
/// `T` is a struct. A field that is missing and has no default, a parameter that is given more than
/// once for a field that is not a sequence, and a value that does not parse are errors that name the
/// parameter. A parameter without a field is passed over, unless the struct says
/// `#[serde(deny_unknown_fields)]`.
///
/// # Errors
///
/// Violations, one for each parameter that is wrong as far as the first.
pub async fn query<T: DeserializeOwned>(
    _: Context,
    request: http::Request<Body>,
) -> Result<T, Error> {
    from_query(&request)
}

/// The same as [`query`], for decoders that need more of the request.
///
/// # Errors
///
/// A violation that names the parameter.
pub fn from_query<T: DeserializeOwned, B>(request: &http::Request<B>) -> Result<T, Error> {
    let query = request.uri().query().unwrap_or_default();
    pairs::from_urlencoded(query.as_bytes(), Part::Query)
}

/// Decodes the parameters of the path that our [`Router`](crate::Router) has matched:
/// `/profiles/{id}`.
///
/// # Errors
///
/// A violation that names the parameter.
pub async fn path<T: DeserializeOwned>(
    _: Context,
    request: http::Request<Body>,
) -> Result<T, Error> {
    from_path(&request)
}

/// The same as [`path`], for decoders that need more of the request.
///
/// # Errors
///
/// A violation that names the parameter.
pub fn from_path<T: DeserializeOwned, B>(request: &http::Request<B>) -> Result<T, Error> {
    let params = request.extensions().get::<MatchedRoute>().map_or(&[][..], MatchedRoute::params);
    pairs::from_path(params)
}

/// Decodes a body of JSON.
///
/// The content type is `application/json` or ends in `+json`; any other is answered with 415.
///
/// # Errors
///
/// What is wrong with the body, and where: a violation with the path of the field, or the line and
/// column of what is not JSON.
pub async fn json<T: DeserializeOwned>(
    _: Context,
    request: http::Request<Body>,
) -> Result<T, Error> {
    expect(request.headers(), "application/json", is_json)?;
    json::from_slice(&request.into_body().bytes().await?)
}

/// Decodes a body that is a form: `application/x-www-form-urlencoded`, by the rules of [`query`].
///
/// # Errors
///
/// A violation that names the field.
pub async fn form<T: DeserializeOwned>(
    _: Context,
    request: http::Request<Body>,
) -> Result<T, Error> {
    const FORM: &str = "application/x-www-form-urlencoded";
    expect(request.headers(), FORM, |kind| essence(kind).eq_ignore_ascii_case(FORM.as_bytes()))?;
    pairs::from_urlencoded(&request.into_body().bytes().await?, Part::Form)
}

/// Takes the body as it is, whatever its content type.
///
/// # Errors
///
/// If the body is too large, pauses too long, or breaks off.
pub async fn raw(_: Context, request: http::Request<Body>) -> Result<Bytes, Error> {
    request.into_body().bytes().await
}

/// Takes nothing of the request.
///
/// # Errors
///
/// None.
pub async fn no_request(_: Context, _: http::Request<Body>) -> Result<(), Error> {
    Ok(())
}

/// Decodes a body of one JSON value a line, as they come.
///
/// The content type is `application/x-ndjson` or `application/jsonl`. A line has at most 2 MiB; the
/// whole body has the server's [`body_limit`](crate::Server::body_limit).
///
/// # Errors
///
/// If the content type is another one. What is wrong with a line is an error of the stream.
pub async fn json_lines<T: DeserializeOwned + Send + 'static>(
    _: Context,
    request: http::Request<Body>,
) -> Result<Streaming<T>, Error> {
    expect(request.headers(), lines::CONTENT_TYPE, lines::is_json_lines)?;
    Ok(lines::decode(request.into_body(), |error| error))
}

/// A content type without its parameters.
pub(crate) fn essence(content_type: &[u8]) -> &[u8] {
    content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii()
}

/// Checks the content type. There is no code for a wrong one, so its status is attached.
pub(crate) fn expect(
    headers: &HeaderMap,
    name: &str,
    is_right: impl Fn(&[u8]) -> bool,
) -> Result<(), Error> {
    if headers.get(CONTENT_TYPE).is_some_and(|kind| is_right(kind.as_bytes())) {
        return Ok(());
    }
    Err(Error::of(Code::InvalidArgument)
        .public(format!("the content type must be {name}"))
        .attach(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}
