//! Extractors of axum as decoders, and its responses as encoders.
//!
//! ```
//! use axum::{Json, extract::Query};
//! use purlin_endpoint::{Context, Error, endpoint_fn};
//! use purlin_transport_http::{Body, Server, axum::{extract, respond}};
//! use tower::ServiceExt as _;
//!
//! #[derive(serde::Deserialize)]
//! struct Greeting { name: String }
//!
//! # tokio_test::block_on(async {
//! let greeting = endpoint_fn(|_: Context, Query(Greeting { name })| async move {
//!     Ok::<_, Error>(Json(format!("Hello, {name}!")))
//! });
//! let server = Server::new(greeting, extract::<Query<Greeting>, _, _>(()), respond);
//!
//! let request = http::Request::get("/?name=Ann").body(Body::empty())?;
//! let response = server.oneshot(request).await?;
//! assert_eq!(response.into_body().bytes().await?, r#""Hello, Ann!""#);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

use crate::{Body, code_of};
use ::axum::{extract::FromRequest, response::IntoResponse};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use purlin_endpoint::{Context, Error};
use std::pin::Pin;

type Extracting<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// A decoder that is an extractor of axum, with the state that it needs.
///
/// A rejection becomes an error with its status, its headers, and its text as the public message.
pub fn extract<T, State, M>(
    state: State,
) -> impl Fn(Context, http::Request<Body>) -> Extracting<T> + Clone + Send + Sync + 'static
where
    T: FromRequest<State, M> + Send + 'static,
    State: Clone + Send + Sync + 'static,
    M: 'static,
{
    move |_, request| {
        let state = state.clone();
        Box::pin(async move {
            let extracted = T::from_request(request.map(::axum::body::Body::new), &state).await;
            match extracted.map_err(|rejection| rejection.into_response().map(Body::new)) {
                Ok(message) => Ok(message),
                Err(response) => Err(rejected(response).await),
            }
        })
    }
}

async fn rejected(response: http::Response<Body>) -> Error {
    let (mut parts, body) = response.into_parts();
    let is_text =
        parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/"));
    let text = body.bytes().await.unwrap_or_default();
    let mut error = Error::of(code_of(parts.status)).attach(parts.status);
    if let (true, Ok(text)) = (is_text, std::str::from_utf8(&text)) {
        error = error.public(text.to_owned());
    }
    parts.headers.remove(CONTENT_TYPE);
    parts.headers.remove(CONTENT_LENGTH);
    error.attach(parts.headers)
}

/// An encoder for everything that axum can respond with.
///
/// # Errors
///
/// None.
pub fn respond<T: IntoResponse>(_: &Context, response: T) -> Result<http::Response<Body>, Error> {
    Ok(response.into_response().map(Body::new))
}
