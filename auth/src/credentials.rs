use purlin_endpoint::{Carrier, Context, Error};
use std::fmt;

/// The header, or key of metadata, that credentials travel in.
const AUTHORIZATION: &str = "authorization";

/// What a caller shows to prove who it is, as it travels: a value of `authorization`.
///
/// It never shows in a log: its [`Debug`](fmt::Debug) says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(Shown);

#[derive(Clone, PartialEq, Eq)]
enum Shown {
    One(String),
    /// Nobody can say which of them a proxy before us has looked at.
    Several,
}

impl Credentials {
    /// A value of `authorization`: a scheme, a space, and what proves it.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Shown::One(value.into()))
    }

    /// A bearer token, by [RFC 6750](https://www.rfc-editor.org/rfc/rfc6750).
    pub fn bearer(token: &str) -> Self {
        Self::new(format!("Bearer {token}"))
    }

    /// The whole value; `None` if there were several.
    pub fn value(&self) -> Option<&str> {
        match &self.0 {
            Shown::One(value) => Some(value),
            Shown::Several => None,
        }
    }
}

#[cfg(feature = "jwt")]
impl Credentials {
    /// The bearer token, if they are one.
    pub(crate) fn token(&self) -> Option<&str> {
        let token = self.after("bearer")?;
        // A token has no spaces, or there would be three parts where there are two.
        (!token.is_empty() && !token.contains(' ')).then_some(token)
    }
}

#[cfg(any(feature = "basic", feature = "jwt"))]
impl Credentials {
    /// What comes after this scheme, whatever its case is, and one space.
    pub(crate) fn after(&self, scheme: &str) -> Option<&str> {
        let (known, rest) = self.value()?.split_once(' ')?;
        known.eq_ignore_ascii_case(scheme).then_some(rest)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// Reads `authorization` into the context, as [`Credentials`]: a server's `before`.
///
/// Several are none that can be read, whatever is in them, and one that is no text is an empty one:
/// whoever looks at them refuses the call.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use purlin_auth::{Credentials, extract};
/// use purlin_endpoint::Context;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("authorization", HeaderValue::from_static("Bearer abc"));
/// let context = extract(&headers, Context::new())?;
/// assert_eq!(context.get(), Some(&Credentials::bearer("abc")));
/// # Ok::<_, purlin_endpoint::Error>(())
/// ```
///
/// # Errors
///
/// None: whether a call needs credentials is for a layer to say.
pub fn extract(carrier: &dyn Carrier, context: Context) -> Result<Context, Error> {
    Ok(match carrier.get_all(AUTHORIZATION)[..] {
        [] => context,
        [value] => context.with(Credentials::new(value)),
        _ => context.with(Credentials(Shown::Several)),
    })
}

/// Writes the context's [`Credentials`] into `authorization`: a client's `before`.
///
/// They are those that the call's own layers have put there. What came from a server's caller goes
/// no further, as [`Context::outgoing`] leaves it behind, unless the program puts it back.
///
/// # Errors
///
/// None.
pub fn inject(context: &Context, carrier: &mut dyn Carrier) -> Result<(), Error> {
    if let Some(value) = context.get::<Credentials>().and_then(Credentials::value) {
        carrier.set(AUTHORIZATION, value);
    }
    Ok(())
}
