//! The one table from codes to HTTP statuses, and back.

use http::StatusCode;
use purlin_endpoint::{Code, Error};

/// The status that a code is answered with.
///
/// It is the mapping of Google's
/// [`google.rpc.Code`](https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto).
pub fn status_of(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        // Nobody is there to read it any more, but a log line is.
        Code::Cancelled => client_closed_request(),
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// The code of a response whose body says none.
///
/// A status that is neither a success nor an error, such as a redirection, is
/// [`Unknown`](Code::Unknown) where a success was expected.
pub fn code_of(status: StatusCode) -> Code {
    match status.as_u16() {
        200..=299 => Code::Ok,
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
        500..=599 => Code::Internal,
        _ => Code::Unknown,
    }
}

/// The status of this error: the `StatusCode` that is attached to it, else that of its code.
pub(crate) fn status_of_error(error: &Error) -> StatusCode {
    error.attached::<StatusCode>().copied().unwrap_or_else(|| status_of(error.code()))
}

/// What nginx calls a client that left before its answer.
pub(crate) fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_endpoint::{ByStatus, Classify as _};

    #[test]
    fn the_way_back_agrees_with_what_layers_make_of_a_status() {
        for status in (200..=299).chain(400..=599) {
            let status = StatusCode::from_u16(status).unwrap();
            let response = http::Response::builder().status(status).body(()).unwrap();
            let verdict = ByStatus.classify(&Ok::<_, ()>(response));
            assert_eq!(code_of(status), verdict.code, "{status}");
        }
    }

    #[test]
    fn the_codes_that_layers_refuse_with_come_back_as_they_were() {
        for code in [
            Code::InvalidArgument,
            Code::Unauthenticated,
            Code::PermissionDenied,
            Code::NotFound,
            Code::Aborted,
            Code::ResourceExhausted,
            Code::Cancelled,
            Code::Unimplemented,
            Code::Internal,
            Code::Unavailable,
            Code::DeadlineExceeded,
        ] {
            assert_eq!(code_of(status_of(code)), code);
        }
    }
}
