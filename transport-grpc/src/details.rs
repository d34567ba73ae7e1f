//! The status of a call: its code, message, and `google.rpc.Status` details, both ways.
//!
//! The messages have the field numbers of google's `status.proto` and `error_details.proto`.

use crate::{
    metadata::{binary_values, encode_binary},
    percent, status,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message;
use prost_types::Any;
use purlin_endpoint::{Code, Context, Error};
use std::time::Duration;

pub(crate) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// Details that are longer than this are left out: header blocks have limits, and a status without
/// details is better than a stream that is reset.
const LONGEST: usize = 8192;

const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const REQUEST_INFO: &str = "type.googleapis.com/google.rpc.RequestInfo";
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// The details of a status, as they travel: attach it to an [`Error`] to send them, and find it on
/// one that came from a server.
///
/// ```
/// use purlin_endpoint::{Code, Error};
/// use purlin_transport_grpc::StatusDetails;
///
/// let quota = prost_types::Any { type_url: "example.org/acme.Quota".into(), value: vec![8, 1] };
/// let error = Error::of(Code::ResourceExhausted).attach(StatusDetails(vec![quota.clone()]));
/// assert_eq!(error.attached::<StatusDetails>().unwrap().0, [quota]);
/// ```
///
/// Violations, retry delay and members of an error need none of this: they become `BadRequest`,
/// `RetryInfo` and `ErrorInfo` by themselves, and come back as what they were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusDetails(pub Vec<Any>);

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    violations: Vec<FieldViolation>,
}

#[derive(Clone, PartialEq, Message)]
struct FieldViolation {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<prost_types::Duration>,
}

#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    // A map on the wire; as a list it keeps its order.
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct RequestInfo {
    #[prost(string, tag = "1")]
    request_id: String,
}

fn any(type_url: &str, message: &impl Message) -> Any {
    Any { type_url: type_url.to_owned(), value: message.encode_to_vec() }
}

/// What a handler attached, and behind it what the error says besides.
fn details(context: &Context, error: &Error) -> Vec<Any> {
    let given = error.attached::<StatusDetails>().map_or(&[][..], |details| &details.0);
    let missing = |type_url: &str| given.iter().all(|any| any.type_url != type_url);
    let mut made = Vec::new();
    if !error.violations().is_empty() && missing(BAD_REQUEST) {
        let violations = error.violations().iter().map(|violation| FieldViolation {
            field: violation.field.clone().into_owned(),
            description: violation.description.clone().into_owned(),
        });
        made.push(any(BAD_REQUEST, &BadRequest { violations: violations.collect() }));
    }
    if let Some(delay) = error.retry_delay().filter(|_| missing(RETRY_INFO)) {
        let delay = prost_types::Duration::try_from(delay).ok();
        made.push(any(RETRY_INFO, &RetryInfo { delay }));
    }
    if error.members().next().is_some() && missing(ERROR_INFO) {
        let metadata = error
            .members()
            .map(|(key, value)| Entry { key: key.to_owned(), value: value.to_owned() });
        let domain = context.method().map_or("", |method| method.service()).to_owned();
        let reason = error.code().as_str().to_owned();
        made.push(any(ERROR_INFO, &ErrorInfo { reason, domain, metadata: metadata.collect() }));
    }
    // What a handler attached goes out exactly; the id goes along with what is made here.
    if let Some(id) = context.request_id().filter(|_| !made.is_empty() && missing(REQUEST_INFO)) {
        made.push(any(REQUEST_INFO, &RequestInfo { request_id: id.as_str().to_owned() }));
    }
    given.iter().cloned().chain(made).collect()
}

/// Writes the status of a call that went well.
pub(crate) fn write_ok(map: &mut HeaderMap) {
    map.insert(STATUS, HeaderValue::from_static("0"));
}

/// Writes the status of a call that failed.
pub(crate) fn write_error(map: &mut HeaderMap, context: &Context, error: &Error) {
    let code = status::code_to_send(error.code());
    map.insert(STATUS, HeaderValue::from(u16::from(code.number())));
    map.insert(MESSAGE, percent::encode(error.message()));
    let details = details(context, error);
    if !details.is_empty() {
        let message = error.message().to_owned();
        let status = Status { code: code.number().into(), message, details };
        let encoded = encode_binary(&status.encode_to_vec());
        if let Ok(value) = HeaderValue::try_from(encoded)
            && value.len() <= LONGEST
        {
            map.insert(DETAILS, value);
        }
    }
    // "Not again" is said whatever delay goes with it, or a proxy would turn it into "again".
    if error.retryability() == Some(false)
        && (code == Code::Unavailable || error.retry_delay().is_some())
    {
        map.insert(PUSHBACK, HeaderValue::from_static("-1"));
    } else if let Some(delay) = error.retry_delay() {
        let millis = u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        map.insert(PUSHBACK, HeaderValue::from(millis));
    }
}

/// Reads a status; `None` if there is none.
pub(crate) fn read(map: &HeaderMap) -> Option<Result<(), Error>> {
    let number = map.get(STATUS)?.to_str().ok().and_then(|text| text.parse().ok());
    let code = Code::from_number(number.unwrap_or(-1));
    if code == Code::Ok {
        return Some(Ok(()));
    }
    let mut error = Error::of(code);
    // The server has decided that its caller may read this.
    match map.get(MESSAGE).map(|value| percent::decode(value.as_bytes())) {
        Some(message) if !message.is_empty() => error = error.public(message.into_owned()),
        _ => {}
    }
    let encoded = binary_values(map, DETAILS.as_str());
    if let Some(status) = encoded.into_iter().next().and_then(|bytes| Status::decode(bytes).ok()) {
        error = read_details(error, status.details);
    }
    match map.get(PUSHBACK).map(|value| value.to_str().ok().and_then(|text| text.parse().ok())) {
        Some(Some(millis)) => error = error.retry_after(Duration::from_millis(millis)),
        // A negative or unreadable delay means: not again.
        Some(None) => error = error.retryable(false),
        None => {}
    }
    Some(Err(error))
}

fn read_details(mut error: Error, details: Vec<Any>) -> Error {
    for any in &details {
        let value = &*any.value;
        // Another host in the URL names the same type.
        match any.type_url.rsplit('/').next() {
            Some("google.rpc.BadRequest") => {
                for violation in BadRequest::decode(value).unwrap_or_default().violations {
                    error = error.violation(violation.field, violation.description);
                }
            }
            Some("google.rpc.RetryInfo") => {
                let delay = RetryInfo::decode(value).ok().and_then(|info| info.delay);
                if let Some(delay) = delay.and_then(|delay| Duration::try_from(delay).ok()) {
                    error = error.retry_after(delay);
                }
            }
            Some("google.rpc.ErrorInfo") => {
                for entry in ErrorInfo::decode(value).unwrap_or_default().metadata {
                    error = error.member(entry.key, entry.value);
                }
            }
            _ => {}
        }
    }
    error.attach(StatusDetails(details))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(error: &Error) -> Error {
        static METHOD: purlin_endpoint::Method = purlin_endpoint::Method::unary("a.B", "C");
        let context = Context::new().with_method(&METHOD).with_request_id("id-1".parse().unwrap());
        let mut map = HeaderMap::new();
        write_error(&mut map, &context, error);
        read(&map).unwrap().unwrap_err()
    }

    #[test]
    fn all_that_an_error_shows_comes_back() {
        let error = Error::invalid("name", "is missing – really\n")
            .violation("age", "is negative")
            .retry_after(Duration::from_millis(1500))
            .member("zone", "b")
            .member("area", "a");
        let back = round_trip(&error);
        assert_eq!((back.code(), back.message()), (error.code(), error.message()));
        assert_eq!(back.violations(), error.violations());
        assert_eq!(back.retry_delay(), error.retry_delay());
        assert!(back.members().eq(error.members()));
        let urls: Vec<_> =
            back.attached::<StatusDetails>().unwrap().0.iter().map(|any| &*any.type_url).collect();
        assert_eq!(urls, [BAD_REQUEST, RETRY_INFO, ERROR_INFO, REQUEST_INFO]);
    }

    #[test]
    fn what_came_from_a_server_is_passed_on_without_being_doubled() {
        let error = Error::invalid("name", "is missing").member("a", "b");
        let once = round_trip(&error);
        let twice = round_trip(&round_trip(&once));
        assert_eq!(once.violations(), twice.violations());
        assert_eq!(once.attached::<StatusDetails>(), twice.attached::<StatusDetails>());
    }

    #[test]
    fn a_plain_error_is_a_code_and_a_message() {
        let back = round_trip(&Error::new(Code::NotFound, "no such user"));
        assert_eq!((back.code(), back.message()), (Code::NotFound, "no such user"));
        assert!(back.attached::<StatusDetails>().is_none());
    }

    #[test]
    fn an_internal_text_does_not_travel() {
        let back = round_trip(&Error::internal("the password is swordfish"));
        assert_eq!((back.code(), back.message()), (Code::Internal, "internal error"));
    }

    #[test]
    fn a_server_can_say_not_again() {
        let back = round_trip(&Error::of(Code::Unavailable).retryable(false));
        assert!(!back.is_retryable());
        assert!(round_trip(&Error::of(Code::Unavailable)).is_retryable());
        let delayed = Error::of(Code::Aborted).retry_after(Duration::from_millis(5));
        assert!(round_trip(&delayed).is_retryable());
        assert!(!round_trip(&delayed.retryable(false)).is_retryable());
    }

    #[test]
    fn an_error_never_looks_like_a_success() {
        assert_eq!(round_trip(&Error::of(Code::Ok)).code(), Code::Unknown);
    }

    #[test]
    fn details_that_no_header_block_can_hold_are_left_out() {
        let error = Error::of(Code::Aborted).member("big", "x".repeat(10_000));
        let back = round_trip(&error);
        assert_eq!(back.code(), Code::Aborted);
        assert_eq!(back.members().count(), 0);
    }

    #[test]
    fn an_unheard_of_or_unreadable_code_is_unknown() {
        for text in ["99", "x", "-1", ""] {
            let map = HeaderMap::from_iter([(STATUS, HeaderValue::from_static(text))]);
            assert_eq!(read(&map).unwrap().unwrap_err().code(), Code::Unknown);
        }
        assert!(read(&HeaderMap::new()).is_none());
    }
}
