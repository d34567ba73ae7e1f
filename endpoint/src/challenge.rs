use std::borrow::Cow;

/// What a caller must show to be let in, for an error that says that it has not.
///
/// Attached to an [`Error`](crate::Error), it is sent by a transport over HTTP as
/// `WWW-Authenticate`, by [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1).
///
/// ```
/// use purlin_endpoint::{Challenge, Code, Error};
///
/// let error = Error::of(Code::Unauthenticated).attach(Challenge(r#"Basic realm="shop""#.into()));
/// assert_eq!(error.attached::<Challenge>().unwrap().0, r#"Basic realm="shop""#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge(pub Cow<'static, str>);
