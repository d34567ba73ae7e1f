use std::sync::Arc;

/// Which instances have been tried for a call, so that the next attempt takes another.
///
/// A balancer attaches it to the [`Error`](crate::Error) of a call that failed; whoever tries again
/// puts it into the [`Context`](crate::Context) of the next attempt, where the balancer finds it.
///
/// ```
/// use purlin_endpoint::{Code, Context, Error, Tried};
///
/// let failed = Error::of(Code::Unavailable).attach(Tried::default().and("10.0.0.7:9110"));
/// let again = Context::new().with(failed.attached::<Tried>().cloned().unwrap_or_default());
/// assert!(again.get::<Tried>().unwrap().contains("10.0.0.7:9110"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried(Vec<Arc<str>>);

impl Tried {
    /// These, and the instance with this id.
    #[must_use]
    pub fn and(mut self, id: impl Into<Arc<str>>) -> Self {
        self.0.push(id.into());
        self
    }

    /// Whether the instance with this id was tried.
    pub fn contains(&self, id: &str) -> bool {
        self.0.iter().any(|tried| **tried == *id)
    }

    /// The ids, in the order in which they were tried.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|id| &**id)
    }
}
