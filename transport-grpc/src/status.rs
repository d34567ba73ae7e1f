//! The one table from HTTP's and HTTP/2's words to a [`Code`]. A code's own number is gRPC's.

use http::StatusCode;
use purlin_endpoint::{Code, Error};
use std::error::Error as StdError;

/// What an HTTP status means where a gRPC status should have been.
///
/// Source: gRPC's `http-grpc-status-mapping.md`.
pub(crate) fn code_of_http(status: StatusCode) -> Code {
    match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

/// What the reset of a stream means, if this error is one.
///
/// Source: gRPC's `PROTOCOL-HTTP2.md`, "Errors".
#[cfg(feature = "client")]
pub(crate) fn code_of_reset(error: &(dyn StdError + 'static)) -> Option<Code> {
    use h2::Reason;
    let reason = reset(error)?;
    Some(match reason {
        Reason::REFUSED_STREAM => Code::Unavailable,
        Reason::CANCEL => Code::Cancelled,
        Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
        _ => Code::Internal,
    })
}

/// Without HTTP/2 at hand a reset looks like any other break.
#[cfg(not(feature = "client"))]
pub(crate) fn code_of_reset(_: &(dyn StdError + 'static)) -> Option<Code> {
    None
}

/// What a request's body fails with, so that its stream is reset as cancelled: any other reset
/// would tell the server that the client is broken.
#[cfg(feature = "client")]
pub(crate) fn cancelling(code: Code) -> Error {
    Error::of(code).caused_by(h2::Error::from(h2::Reason::CANCEL))
}

/// Without HTTP/2 at hand a body can only break off.
#[cfg(not(feature = "client"))]
pub(crate) fn cancelling(code: Code) -> Error {
    Error::of(code)
}

/// Whether the server has certainly not begun with what failed so: it has refused the stream, or
/// left it out as it went away. Streams that it goes on with don't end by that.
#[cfg(feature = "client")]
pub(crate) fn is_unreached(error: &(dyn StdError + 'static)) -> bool {
    find(error).is_some_and(|error| match error.is_reset() {
        true => error.reason() == Some(h2::Reason::REFUSED_STREAM),
        false => error.is_go_away() && error.is_remote(),
    })
}

/// Without HTTP/2 at hand nothing is certain.
#[cfg(not(feature = "client"))]
pub(crate) fn is_unreached(_: &(dyn StdError + 'static)) -> bool {
    false
}

#[cfg(feature = "client")]
fn reset(error: &(dyn StdError + 'static)) -> Option<h2::Reason> {
    // A connection that breaks is no reset of this stream.
    find(error).filter(|error| error.is_reset())?.reason()
}

#[cfg(feature = "client")]
fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a h2::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        next = error.source();
    }
    None
}

/// The code to send: an error that says it is no error is of an unknown kind.
pub(crate) fn code_to_send(code: Code) -> Code {
    if code == Code::Ok { Code::Unknown } else { code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_status_that_gateways_give_has_its_code() {
        let table = [
            (400, Code::Internal),
            (401, Code::Unauthenticated),
            (403, Code::PermissionDenied),
            (404, Code::Unimplemented),
            (429, Code::Unavailable),
            (502, Code::Unavailable),
            (503, Code::Unavailable),
            (504, Code::Unavailable),
            (200, Code::Unknown),
            (415, Code::Unknown),
            (500, Code::Unknown),
        ];
        for (status, code) in table {
            assert_eq!(code_of_http(StatusCode::from_u16(status).unwrap()), code, "{status}");
        }
    }
}
