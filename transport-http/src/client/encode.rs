//! Encoders of a client: what makes an HTTP request of a request.
//!
//! Each is a function, to be given to [`Client::new`](super::Client::new) as it is or called from
//! one of your own:
//!
//! ```
//! use purlin_endpoint::{Context, Error};
//! use purlin_transport_http::{Body, client::encode};
//!
//! #[derive(serde::Serialize)]
//! struct Profile { name: String }
//!
//! #[derive(serde::Serialize)]
//! struct Path { id: u64 }
//!
//! /// `PUT /profiles/{id}`
//! fn put(
//!     context: &Context,
//!     request: &mut http::Request<Body>,
//!     (id, profile): (u64, Profile),
//! ) -> Result<(), Error> {
//!     encode::fill(request, &Path { id })?;
//!     encode::json(context, request, profile)
//! }
//!
//! let mut request = http::Request::put("http://here/profiles/{id}").body(Body::empty()).unwrap();
//! put(&Context::default(), &mut request, (7, Profile { name: "Ann".into() })).unwrap();
//! assert_eq!(request.uri().path(), "/profiles/7");
//! ```

#[cfg(feature = "proto")]
pub use crate::proto::encode_request as proto;

use crate::{Body, lines, pairs_out};
use bytes::Bytes;
use http::{HeaderValue, Uri, header::CONTENT_TYPE};
use purlin_endpoint::{Context, Error, Streaming};
use serde::Serialize;

/// Puts fields into the URI: into the placeholders of its path, and the others into the query. A
/// field that is a sequence is repeated; one that is `None` is left out.
///
/// # Errors
///
/// If the value is not a struct of plain fields: an internal error.
pub fn query<T: Serialize>(
    _: &Context,
    request: &mut http::Request<Body>,
    message: T,
) -> Result<(), Error> {
    let rest = place(request, &message)?;
    if rest.is_empty() {
        return Ok(());
    }
    let mut target = request.uri().path().to_owned();
    let mut separator = '?';
    if let Some(query) = request.uri().query() {
        target = format!("{target}?{query}");
        separator = '&';
    }
    for (name, value) in rest {
        target.push(separator);
        pairs_out::escape(&name, &mut target);
        target.push('=');
        pairs_out::escape(&value, &mut target);
        separator = '&';
    }
    retarget(request, target)
}

/// Puts fields into the placeholders of the path. Each must have one.
///
/// # Errors
///
/// If a field has no placeholder, or is not a plain one: an internal error.
pub fn path<T: Serialize>(
    _: &Context,
    request: &mut http::Request<Body>,
    message: T,
) -> Result<(), Error> {
    fill(request, &message)
}

/// The same as [`path`], for encoders that do more.
///
/// # Errors
///
/// If a field has no placeholder, or is not a plain one: an internal error.
pub fn fill<T: Serialize>(request: &mut http::Request<Body>, fields: &T) -> Result<(), Error> {
    match place(request, fields)?.first() {
        Some((name, _)) => Err(Error::internal(format!("there is no placeholder for {name}"))),
        None => Ok(()),
    }
}

/// Sends a body of JSON.
///
/// # Errors
///
/// If the value can't be serialized: an internal error.
pub fn json<T: Serialize>(
    _: &Context,
    request: &mut http::Request<Body>,
    message: T,
) -> Result<(), Error> {
    let body = serde_json::to_vec(&message).map_err(Error::internal)?;
    set(request, "application/json", body.into());
    Ok(())
}

/// Sends a body that is a form, by the rules of [`query`].
///
/// # Errors
///
/// If the value is not a struct of plain fields: an internal error.
pub fn form<T: Serialize>(
    _: &Context,
    request: &mut http::Request<Body>,
    message: T,
) -> Result<(), Error> {
    let mut body = String::new();
    for (name, value) in pairs_out::pairs(&message)? {
        if !body.is_empty() {
            body.push('&');
        }
        pairs_out::escape(&name, &mut body);
        body.push('=');
        pairs_out::escape(&value, &mut body);
    }
    set(request, "application/x-www-form-urlencoded", body.into());
    Ok(())
}

/// Sends bytes or text as they are, as `application/octet-stream`.
///
/// # Errors
///
/// None.
pub fn raw<T: Into<Bytes>>(
    _: &Context,
    request: &mut http::Request<Body>,
    bytes: T,
) -> Result<(), Error> {
    set(request, "application/octet-stream", bytes.into().into());
    Ok(())
}

/// Sends nothing but the head.
///
/// # Errors
///
/// None.
pub fn no_request(_: &Context, _: &mut http::Request<Body>, (): ()) -> Result<(), Error> {
    Ok(())
}

/// Streams one JSON value a line, as they come.
///
/// # Errors
///
/// None. An error in the stream breaks off the request.
pub fn json_lines<T: Serialize + 'static>(
    _: &Context,
    request: &mut http::Request<Body>,
    values: Streaming<T>,
) -> Result<(), Error> {
    set(request, lines::CONTENT_TYPE, lines::encode(values));
    Ok(())
}

pub(crate) fn set(request: &mut http::Request<Body>, content_type: &'static str, body: Body) {
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    *request.body_mut() = body;
}

/// Fills placeholders, and returns the fields that have none.
fn place<T: Serialize>(
    request: &mut http::Request<Body>,
    fields: &T,
) -> Result<Vec<(String, String)>, Error> {
    let pairs = pairs_out::pairs(fields)?;
    let path = request.uri().path();
    if !path.contains('{') {
        return Ok(pairs);
    }
    let mut target = String::new();
    let mut rest = pairs;
    // What was filled in is not searched again: a value may look like a placeholder.
    let mut unseen = path;
    while let Some((before, after)) = unseen.split_once('{') {
        target.push_str(before);
        let Some((name, after)) = after.split_once('}') else { break };
        let found = rest.iter().position(|(known, _)| known == name);
        let Some(found) = found else {
            return Err(Error::internal(format!("there is no value for {{{name}}}")));
        };
        pairs_out::escape(&rest.remove(found).1, &mut target);
        unseen = after;
    }
    target.push_str(unseen);
    if let Some(query) = request.uri().query() {
        target = format!("{target}?{query}");
    }
    retarget(request, target)?;
    Ok(rest)
}

fn retarget(request: &mut http::Request<Body>, target: String) -> Result<(), Error> {
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(target.try_into().map_err(Error::internal)?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(Error::internal)?;
    Ok(())
}
