//! Decoders of a client: what makes a response of an HTTP response that is a success.
//!
//! Each is an async function, to be given to [`Client::new`](super::Client::new) as it is or called
//! from one of your own. A response that can't be decoded is an internal error: its server has
//! broken the contract, and the caller can't help it.

#[cfg(feature = "proto")]
pub use crate::proto::decode_response as proto;

use crate::{Body, Event, event_in, json, lines, problem::is_json};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use purlin_endpoint::{Error, Streaming};
use serde::de::DeserializeOwned;

/// Decodes a body of JSON.
///
/// # Errors
///
/// If it is not JSON, or not this value.
pub async fn json<T: DeserializeOwned>(response: http::Response<Body>) -> Result<T, Error> {
    expect(&response, "JSON", is_json)?;
    json::from_slice(&response.into_body().bytes().await?).map_err(Error::internal)
}

/// Takes the body as it is.
///
/// # Errors
///
/// If the body is too large or breaks off.
pub async fn raw(response: http::Response<Body>) -> Result<Bytes, Error> {
    response.into_body().bytes().await
}

/// Takes the body before it has come, to be read when and as far as wanted.
///
/// # Errors
///
/// None.
pub async fn stream(response: http::Response<Body>) -> Result<Body, Error> {
    Ok(response.into_body().unlimited())
}

/// Takes nothing of the response.
///
/// # Errors
///
/// None.
pub async fn no_content(_: http::Response<Body>) -> Result<(), Error> {
    Ok(())
}

/// Decodes a body of one JSON value a line, as they come. A line has at most 2 MiB.
///
/// # Errors
///
/// If the content type is another one. What is wrong with a line is an error of the stream.
pub async fn json_lines<T: DeserializeOwned + Send + 'static>(
    response: http::Response<Body>,
) -> Result<Streaming<T>, Error> {
    expect(&response, "JSON lines", lines::is_json_lines)?;
    Ok(lines::decode(response.into_body().unlimited(), Error::internal))
}

/// Decodes a stream of server-sent events, as they come. A line has at most 2 MiB.
///
/// # Errors
///
/// If the content type is another one.
pub async fn sse(response: http::Response<Body>) -> Result<Streaming<Event>, Error> {
    expect(&response, "an event stream", |kind| {
        crate::decode::essence(kind).eq_ignore_ascii_case(b"text/event-stream")
    })?;
    Ok(event_in::decode(response.into_body().unlimited()))
}

pub(crate) fn expect(
    response: &http::Response<Body>,
    name: &str,
    is_right: impl Fn(&[u8]) -> bool,
) -> Result<(), Error> {
    match response.headers().get(CONTENT_TYPE) {
        Some(kind) if is_right(kind.as_bytes()) => Ok(()),
        _ => Err(Error::internal(format!("the response is not {name}"))),
    }
}
