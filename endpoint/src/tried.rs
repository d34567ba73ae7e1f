use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Which instances have been tried for a call, so that the next attempt takes another.
///
/// Whoever may try again puts one into the [`Context`](crate::Context) of all attempts; a balancer
/// further in notes there where it sends them. Its clones are one list: so it is known where an
/// attempt went that was given up, or that another is made beside. A balancer that finds none
/// attaches one to the [`Error`](crate::Error) of a call that failed, and the next attempt's context
/// gets that.
///
/// ```
/// use purlin_endpoint::{Context, Tried};
///
/// let tried = Tried::default();
/// let first = Context::new().with(tried.clone());
/// // What a balancer does:
/// first.get::<Tried>().unwrap().note("10.0.0.7:9110");
///
/// assert!(tried.contains("10.0.0.7:9110"));
/// assert_eq!(tried.ids(), ["10.0.0.7:9110".into()]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tried(Arc<Mutex<Vec<Arc<str>>>>);

impl Tried {
    /// Notes that an attempt goes to the instance with this id.
    pub fn note(&self, id: impl Into<Arc<str>>) {
        self.list().push(id.into());
    }

    /// Whether the instance with this id was tried.
    pub fn contains(&self, id: &str) -> bool {
        self.list().iter().any(|tried| **tried == *id)
    }

    /// The ids, in the order in which they were tried.
    pub fn ids(&self) -> Vec<Arc<str>> {
        self.list().clone()
    }

    fn list(&self) -> MutexGuard<'_, Vec<Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
