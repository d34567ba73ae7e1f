//! Errors as problem documents, [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457), both ways.

use crate::{
    Body,
    status::{code_of, status_of_error},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use purlin_endpoint::{Challenge, Context, Error, Violation};
use serde::{
    Deserialize, Serialize, Serializer,
    ser::{SerializeMap as _, SerializeSeq as _},
};
use serde_json::{Map, Value};
use std::time::Duration;

/// The type of a problem document.
pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The members that say what an error is; an error's own members of these names are left out.
const RESERVED: [&str; 6] =
    ["status", "detail", "code", "violations", "retry_after_ms", "request_id"];

/// Encodes an error as a problem document: what a server does with errors by default.
///
/// The members are `type` (`about:blank` unless the error has a member of that name), `title` (the
/// status's own phrase, likewise), `status`, `detail` (the public message), `code`, `violations`,
/// `retry_after_ms`, `request_id`, and the error's own members.
///
/// An attached [`StatusCode`] takes the place of the status that the code stands for, and the
/// entries of an attached [`HeaderMap`] go into the head. An attached [`Challenge`] goes there as
/// `www-authenticate`.
pub fn encode(context: &Context, error: &Error) -> http::Response<Body> {
    respond(error, context.request_id().map(purlin_endpoint::RequestId::as_str))
}

pub(crate) fn respond(error: &Error, request_id: Option<&str>) -> http::Response<Body> {
    let status = status_of_error(error);
    let problem = Problem { error, status, request_id };
    // Nothing in it can fail to serialize.
    let mut response = http::Response::new(serde_json::to_vec(&problem).unwrap_or_default().into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, PROBLEM_JSON);
    if let Some(delay) = error.retry_delay() {
        headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
    }
    if let Some(Challenge(challenge)) = error.attached()
        && let Ok(challenge) = HeaderValue::from_str(challenge)
    {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    if let Some(attached) = error.attached::<HeaderMap>() {
        headers.extend(attached.clone());
    }
    response
}

/// Rounds up, so that whoever waits that long does not come too early.
fn whole_seconds(delay: Duration) -> u64 {
    delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0))
}

struct Problem<'a> {
    error: &'a Error,
    status: StatusCode,
    request_id: Option<&'a str>,
}

impl Serialize for Problem<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { error, status, request_id } = self;
        let own = |name| error.members().find(|(known, _)| *known == name).map(|(_, value)| value);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", own("type").unwrap_or("about:blank"))?;
        let phrase = status.canonical_reason().unwrap_or(error.code().describe());
        map.serialize_entry("title", own("title").unwrap_or(phrase))?;
        map.serialize_entry("status", &status.as_u16())?;
        map.serialize_entry("detail", error.message())?;
        map.serialize_entry("code", error.code().as_str())?;
        if !error.violations().is_empty() {
            map.serialize_entry("violations", &Violations(error.violations()))?;
        }
        if let Some(delay) = error.retry_delay() {
            let ms = u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
            map.serialize_entry("retry_after_ms", &ms)?;
        }
        if let Some(id) = request_id {
            map.serialize_entry("request_id", id)?;
        }
        let said = |name: &str| matches!(name, "type" | "title") || RESERVED.contains(&name);
        for (name, value) in error.members().filter(|(name, _)| !said(name)) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

struct Violations<'a>(&'a [Violation]);

impl Serialize for Violations<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Entry<'a> {
            field: &'a str,
            description: &'a str,
        }
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for Violation { field, description } in self.0 {
            seq.serialize_element(&Entry { field, description })?;
        }
        seq.end()
    }
}

/// What a client understands of a problem document. Whatever is missing or odd is passed over: an
/// error must not turn into another one because its description is bad.
#[derive(Default, Deserialize)]
struct Document {
    #[serde(default)]
    detail: Value,
    #[serde(default)]
    code: Value,
    #[serde(default)]
    violations: Value,
    #[serde(default)]
    retry_after_ms: Value,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// The error that a response with this head and body stands for.
///
/// The body's `code` is believed first, then the status. The status stays attached.
pub(crate) fn decode(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let is_json = headers.get(CONTENT_TYPE).is_some_and(|kind| is_json(kind.as_bytes()));
    let document: Option<Document> = is_json.then(|| serde_json::from_slice(body).ok()).flatten();
    let document = document.unwrap_or_default();
    let code = document.code.as_str().and_then(|code| code.parse().ok());
    let code = code.filter(|code| *code != purlin_endpoint::Code::Ok);
    let mut error = Error::of(code.unwrap_or_else(|| code_of(status))).attach(status);
    if let Some(detail) = document.detail.as_str() {
        error = error.public(detail.to_owned());
    }
    for violation in document.violations.as_array().into_iter().flatten() {
        if let (Some(field), Some(description)) =
            (violation["field"].as_str(), violation["description"].as_str())
        {
            error = error.violation(field.to_owned(), description.to_owned());
        }
    }
    let delay = document.retry_after_ms.as_u64().map(Duration::from_millis);
    if let Some(delay) = delay.or_else(|| retry_after(headers)) {
        error = error.retry_after(delay);
    }
    for (name, value) in document.rest {
        let standard =
            matches!((&*name, value.as_str()), ("type", Some("about:blank")) | ("title", _));
        if let (false, false, Value::String(value)) = (standard, RESERVED.contains(&&*name), value)
        {
            error = error.member(name, value);
        }
    }
    error
}

/// Whether a content type is JSON: `application/json`, or anything that ends in `+json`.
pub(crate) fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"application/json")
        || (essence.len() > 5 && essence[essence.len() - 5..].eq_ignore_ascii_case(b"+json"))
}

/// The delay in a `Retry-After` header, if it is given in seconds. A date would need a calendar, and
/// two clocks that agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_endpoint::Code;

    fn text(error: &Error) -> String {
        serde_json::to_string(&Problem {
            error,
            status: status_of_error(error),
            request_id: Some("r1"),
        })
        .unwrap()
    }

    #[test]
    fn a_problem_says_everything_that_is_public_in_a_fixed_order() {
        let error = Error::invalid("name", "is missing")
            .retry_after(Duration::from_micros(1500))
            .member("tenant", "acme")
            .member("code", "mine");
        assert_eq!(
            text(&error),
            r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"name is missing","code":"INVALID_ARGUMENT","violations":[{"field":"name","description":"is missing"}],"retry_after_ms":2,"request_id":"r1","tenant":"acme"}"#
        );
    }

    #[test]
    fn a_problem_leads_back_to_its_error() {
        let error = Error::new(Code::ResourceExhausted, "slow down")
            .violation("a", "b")
            .retry_after(Duration::from_millis(1500))
            .member("type", "https://example.com/limits")
            .member("tenant", "acme");
        let response = respond(&error, None);
        let body = serde_json::to_vec(&Problem {
            error: &error,
            status: response.status(),
            request_id: None,
        });
        let back = decode(response.status(), response.headers(), &body.unwrap());
        assert_eq!((back.code(), back.message()), (error.code(), error.message()));
        assert_eq!(back.violations(), error.violations());
        assert_eq!(back.retry_delay(), error.retry_delay());
        assert_eq!(
            back.members().collect::<std::collections::BTreeMap<_, _>>(),
            error.members().collect()
        );
    }

    #[test]
    fn a_challenge_is_a_header_of_its_problem() {
        let error = Error::of(Code::Unauthenticated).attach(Challenge("Basic realm=\"a\"".into()));
        let response = respond(&error, None);
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Basic realm=\"a\"");
    }

    #[test]
    fn what_is_no_problem_document_is_judged_by_its_status() {
        let mut headers = HeaderMap::new();
        for body in [&b""[..], b"oh no", b"{", b"[]", b"{\"code\":7}", b"{\"code\":\"OK\"}"] {
            for kind in ["text/html", "application/json"] {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
                headers.insert(RETRY_AFTER, HeaderValue::from_static("3"));
                let error = decode(StatusCode::SERVICE_UNAVAILABLE, &headers, body);
                assert_eq!(error.code(), Code::Unavailable);
                assert_eq!(error.retry_delay(), Some(Duration::from_secs(3)));
            }
        }
    }
}
