use crate::Code;
use std::{
    any::Any, borrow::Cow, convert::Infallible, error::Error as StdError, fmt, time::Duration,
};

/// Any error, boxed: what tower's own layers and many foreign services fail with.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a call failed: a code, what the caller may know, and a cause that stays inside.
///
/// It is one pointer wide. What it shows to the caller is its [`message`](Self::message), its
/// violations, members and retry delay; its [source](StdError::source) is for the log.
///
/// ```
/// use purlin_endpoint::{Code, Error};
///
/// let error = Error::new(Code::InvalidArgument, "name is missing").violation("name", "is missing");
/// assert_eq!(error.message(), "name is missing");
///
/// let disk = std::io::Error::other("disk 7 is full");
/// let error = Error::internal(disk);
/// assert_eq!(error.message(), "internal error");
/// assert_eq!(error.find::<std::io::Error>().unwrap().to_string(), "disk 7 is full");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    code: Code,
    /// Set when the public message is not the source's own text.
    message: Option<Cow<'static, str>>,
    source: Option<BoxError>,
    retry_after: Option<Duration>,
    retryable: Option<bool>,
    unreached: bool,
    uncalled: bool,
    violations: Vec<Violation>,
    members: Vec<(Cow<'static, str>, String)>,
    attached: Vec<Box<dyn Any + Send + Sync>>,
}

/// A field of a request that is wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's path, as the caller spells it: `name`, `items[2].price`.
    pub field: Cow<'static, str>,
    /// What is wrong with it: `is missing`.
    pub description: Cow<'static, str>,
}

impl Error {
    /// An error whose source's own text is the public message.
    ///
    /// A source is any error or text. For [`Code::Internal`], [`Code::Unknown`] and
    /// [`Code::DataLoss`] the text is hidden, as it speaks of the server and not of the request;
    /// [`public`](Self::public) says something else.
    pub fn new(code: Code, source: impl Into<BoxError>) -> Self {
        let source = source.into();
        // What is said to the caller must not depend on when it is asked for.
        let message = (!code.hides_text()).then(|| Cow::Owned(source.to_string()));
        Self::with_parts(code, message, Some(source))
    }

    /// An error that says only what its code says.
    pub fn of(code: Code) -> Self {
        Self::with_parts(code, None, None)
    }

    /// A failure of the server itself: the source is logged and the caller sees nothing of it.
    pub fn internal(source: impl Into<BoxError>) -> Self {
        Self::with_parts(Code::Internal, None, Some(source.into()))
    }

    /// An invalid field: `Error::invalid("name", "is missing")` says "name is missing".
    pub fn invalid(field: impl Into<Cow<'static, str>>, why: impl Into<Cow<'static, str>>) -> Self {
        let (field, why) = (field.into(), why.into());
        Self::of(Code::InvalidArgument).public(format!("{field} {why}")).violation(field, why)
    }

    fn with_parts(
        code: Code,
        message: Option<Cow<'static, str>>,
        source: Option<BoxError>,
    ) -> Self {
        Self(Box::new(Inner {
            code,
            message,
            source,
            retry_after: None,
            retryable: None,
            unreached: false,
            uncalled: false,
            violations: Vec::new(),
            members: Vec::new(),
            attached: Vec::new(),
        }))
    }

    /// Sets the public message, whatever the code is.
    #[must_use]
    pub fn public(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.0.message = Some(message.into());
        self
    }

    /// Sets the cause, for the log.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says that another attempt may succeed after this long.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.0.retry_after = Some(delay);
        self
    }

    /// Says whether another attempt may succeed, where the code alone would say otherwise.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = Some(retryable);
        self
    }

    /// Says that the request never reached a handler, so that a repetition does nothing twice.
    #[must_use]
    pub fn unreached(mut self) -> Self {
        self.0.unreached = true;
        self
    }

    /// Says that the endpoint was not called, and so none of its layers has seen this error: the
    /// request could not be decoded, for one. This is for servers' transports.
    #[must_use]
    pub fn uncalled(mut self) -> Self {
        self.0.uncalled = true;
        self
    }

    /// Adds a field that is wrong.
    #[must_use]
    pub fn violation(
        mut self,
        field: impl Into<Cow<'static, str>>,
        description: impl Into<Cow<'static, str>>,
    ) -> Self {
        let violation = Violation { field: field.into(), description: description.into() };
        self.0.violations.push(violation);
        self
    }

    /// Adds a public member of your own: a member of the problem document, metadata of an
    /// `ErrorInfo`.
    #[must_use]
    pub fn member(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.0.members.push((name.into(), value.into()));
        self
    }

    /// Attaches a typed value for whoever asks [`find`](Self::find) for it, such as a transport.
    #[must_use]
    pub fn attach<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.0.attached.push(Box::new(value));
        self
    }

    /// What kind of failure this is.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What the caller may read.
    pub fn message(&self) -> &str {
        self.0.message.as_deref().unwrap_or(self.0.code.describe())
    }

    /// How long to wait before another attempt, if the failure said so.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether trying again may help: by default for `UNAVAILABLE`, and where a delay is given.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable.unwrap_or(self.0.code == Code::Unavailable || self.0.retry_after.is_some())
    }

    /// Whether trying again may help, if [`retryable`](Self::retryable) has said so or not so.
    pub fn retryability(&self) -> Option<bool> {
        self.0.retryable
    }

    /// Whether the request certainly never reached a handler.
    pub fn is_unreached(&self) -> bool {
        self.0.unreached
    }

    /// Whether this error ended a call before its endpoint was called, so that no layer has seen it.
    pub fn is_uncalled(&self) -> bool {
        self.0.uncalled
    }

    /// The fields that are wrong.
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }

    /// The public members that were added, in their order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.members.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The first value of this type among the attachments, the source, and its sources.
    pub fn find<T: StdError + 'static>(&self) -> Option<&T> {
        self.attached().or_else(|| {
            let mut next = StdError::source(self);
            while let Some(error) = next {
                if let Some(found) = error.downcast_ref::<T>() {
                    return Some(found);
                }
                if let Some(found) = error.downcast_ref::<Self>().and_then(Self::attached) {
                    return Some(found);
                }
                next = error.source();
            }
            None
        })
    }

    /// The first attachment of this type.
    pub fn attached<T: Any>(&self) -> Option<&T> {
        self.0.attached.iter().find_map(|value| value.downcast_ref())
    }
}

impl fmt::Display for Error {
    /// Writes the public message; `{:#}` adds the causes, which are for the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        if !f.alternate() {
            return Ok(());
        }
        let mut next = StdError::source(self);
        let mut said = self.message().to_owned();
        while let Some(error) = next {
            let text = error.to_string();
            if text != said {
                write!(f, ": {text}")?;
            }
            said = text;
            next = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        let mut out = f.debug_struct("Error");
        out.field("code", &inner.code).field("message", &self.message());
        if let Some(delay) = inner.retry_after {
            out.field("retry_after", &delay);
        }
        if !inner.violations.is_empty() {
            out.field("violations", &inner.violations);
        }
        if !inner.members.is_empty() {
            out.field("members", &inner.members);
        }
        if let Some(source) = &inner.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// An [`Error`] in the box comes out as it was; anything else is internal.
impl From<BoxError> for Error {
    fn from(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => *error,
            Err(other) => Self::internal(other),
        }
    }
}

/// A setting that makes no sense.
///
/// It is returned where a configuration becomes a layer, so that a mistake shows at start-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The setting's name.
    pub field: &'static str,
    /// What is wrong with it: `must be at least one`.
    pub why: &'static str,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.why)
    }
}

impl StdError for Invalid {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
    }

    #[test]
    fn an_internal_text_is_never_public() {
        for code in [Code::Internal, Code::Unknown, Code::DataLoss] {
            let error = Error::new(code, "the password is swordfish");
            assert_eq!(error.message(), code.describe());
            assert_eq!(
                format!("{error:#}"),
                format!("{}: the password is swordfish", code.describe())
            );
        }
    }

    #[test]
    fn an_error_boxed_and_unboxed_is_the_same() {
        let boxed: BoxError = Error::of(Code::NotFound).into();
        assert_eq!(Error::from(boxed).code(), Code::NotFound);
        let foreign: BoxError = "lost".into();
        assert_eq!(Error::from(foreign).code(), Code::Internal);
    }

    #[test]
    fn a_leaf_is_found_however_deep_it_lies() {
        let leaf = Invalid { field: "rate", why: "is negative" };
        let error = Error::internal(Error::new(Code::Unavailable, leaf.clone()));
        assert_eq!(error.find::<Invalid>(), Some(&leaf));
        assert!(error.find::<fmt::Error>().is_none());
    }

    #[test]
    fn unavailable_and_delayed_errors_may_be_tried_again() {
        assert!(Error::of(Code::Unavailable).is_retryable());
        assert!(!Error::of(Code::ResourceExhausted).is_retryable());
        assert!(Error::of(Code::ResourceExhausted).retry_after(Duration::ZERO).is_retryable());
        assert!(!Error::of(Code::Unavailable).retryable(false).is_retryable());
    }
}
