//! Layers on `http::Request` and `http::Response`.

use crate::{
    Carrier, Classify, Code, Context, Verdict,
    end::EndSlot,
    request::{Call, Slot},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::time::Duration;
use tokio::time::Instant;

/// What a call knows of itself, in the extensions of its `http::Request`.
#[derive(Default)]
struct Known {
    context: Context,
    started: Option<Instant>,
    end: Option<EndSlot>,
}

/// A clone of a request is another attempt, which has no end of its own.
impl Clone for Known {
    fn clone(&self) -> Self {
        Self { context: self.context.clone(), started: None, end: None }
    }
}

static EMPTY: Context = Context::new();

impl<B> Call for http::Request<B> {
    fn context(&self) -> &Context {
        self.extensions().get::<Known>().map_or(&EMPTY, |known| &known.context)
    }

    fn context_mut(&mut self) -> &mut Context {
        &mut self.extensions_mut().get_or_insert_default::<Known>().context
    }

    fn started(&mut self) -> Instant {
        *self
            .extensions_mut()
            .get_or_insert_default::<Known>()
            .started
            .get_or_insert_with(Instant::now)
    }

    fn slot(&self) -> Option<Slot<'_>> {
        self.extensions().get::<Known>()?.end.as_ref().map(Slot)
    }

    fn make_slot(&mut self) {
        self.extensions_mut().get_or_insert_default::<Known>().end = Some(EndSlot::default());
    }
}

/// What a header says that is not visible ASCII is no text for a concern.
impl Carrier for HeaderMap {
    fn get(&self, name: &str) -> Option<&str> {
        HeaderMap::get(self, name)?.to_str().ok()
    }

    fn get_all<'a>(&'a self, name: &str) -> Vec<&'a str> {
        let values = HeaderMap::get_all(self, name).iter();
        values.map(|value| value.to_str().unwrap_or_default()).collect()
    }

    fn set(&mut self, name: &str, value: &str) {
        // A name or value that no header can have is not carried.
        if let (Ok(name), Ok(mut value)) =
            (name.parse::<HeaderName>(), HeaderValue::from_str(value))
        {
            // Nobody shows it who shows a request.
            value.set_sensitive(name == http::header::AUTHORIZATION);
            self.insert(name, value);
        }
    }

    fn remove(&mut self, name: &str) {
        HeaderMap::remove(self, name);
    }
}

/// Judges an HTTP response by its status: 5xx is the server's fault, whatever the error type is.
///
/// An error in place of a response is `UNAVAILABLE`: there was none. With 429 and 503, `Retry-After`
/// is the delay, if it is in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByStatus;

impl<B, Err> Classify<http::Response<B>, Err> for ByStatus {
    fn classify(&self, outcome: &Result<http::Response<B>, Err>) -> Verdict {
        match outcome {
            Ok(response) => verdict_of_status(response.status()),
            Err(_) => Verdict::of(Code::Unavailable),
        }
    }

    fn delay(&self, response: &http::Response<B>) -> Option<Duration> {
        if !matches!(response.status().as_u16(), 429 | 503) {
            return None;
        }
        let delay = Carrier::get(response.headers(), "retry-after")?.trim();
        delay.parse().ok().map(Duration::from_secs)
    }
}

fn verdict_of_status(status: StatusCode) -> Verdict {
    let code = match status.as_u16() {
        100..=399 => Code::Ok,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 | 410 => Code::NotFound,
        409 => Code::Aborted,
        412 => Code::FailedPrecondition,
        416 => Code::OutOfRange,
        429 => Code::ResourceExhausted,
        499 => Code::Cancelled,
        400..=498 => Code::InvalidArgument,
        501 => Code::Unimplemented,
        502 | 503 => Code::Unavailable,
        504 => Code::DeadlineExceeded,
        _ => Code::Internal,
    };
    Verdict::of(code)
}

/// Judges a gRPC response by the `grpc-status` in its headers, or else by its HTTP status.
///
/// A status that comes in the trailers comes after the response's head and is not seen here: that
/// is what an endpoint's own layers, inside the transport, are for.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByGrpcStatus;

impl<B, Err> Classify<http::Response<B>, Err> for ByGrpcStatus {
    fn classify(&self, outcome: &Result<http::Response<B>, Err>) -> Verdict {
        let status =
            outcome.as_ref().ok().and_then(|response| response.headers().get("grpc-status"));
        match status {
            Some(value) => {
                let number = value.to_str().ok().and_then(|value| value.parse().ok());
                Verdict::of(Code::from_number(number.unwrap_or(-1)))
            }
            None => ByStatus.classify(outcome),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_no_text_still_counts_among_the_others() {
        let mut headers = HeaderMap::new();
        headers.append("a", HeaderValue::from_bytes(b"\xff").unwrap());
        headers.append("a", HeaderValue::from_static("text"));
        assert_eq!(Carrier::get_all(&headers, "a"), ["", "text"]);
        assert_eq!(Carrier::get(&headers, "a"), None);
    }
}
