//! The one table from HTTP's and HTTP/2's words to a [`Code`]. A code's own number is gRPC's.

use http::StatusCode;
use purlin_endpoint::Code;

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
