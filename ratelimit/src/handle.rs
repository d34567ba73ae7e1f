use crate::{RateLimit, state::State};
use purlin_endpoint::{Inspect, Invalid};
use std::{borrow::Cow, sync::Arc};

/// Shows the limit of a layer as it is, and changes it while calls run.
///
/// ```
/// use purlin_endpoint::Inspect as _;
/// use purlin_ratelimit::RateLimit;
///
/// let layer = RateLimit::per_second(10).burst(5).layer()?;
/// let handle = layer.handle().named("ratelimit greeter");
/// assert_eq!(handle.tokens(), 5);
///
/// handle.update(RateLimit::per_second(20).burst(10))?;
/// assert!(handle.snapshot().starts_with(r#"{"calls":20,"period":"1s","burst":10"#));
/// # Ok::<_, purlin_endpoint::Invalid>(())
/// ```
#[derive(Clone, Debug)]
pub struct Handle {
    state: Arc<State>,
    name: Cow<'static, str>,
}

impl Handle {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { state, name: Cow::Borrowed("ratelimit") }
    }

    /// Names what the admin page shows, for a process with several limits.
    #[must_use]
    pub fn named(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The limit as it is.
    pub fn limit(&self) -> RateLimit {
        *self.state.limit()
    }

    /// Changes the limit, from the next call on.
    ///
    /// Tokens that have been taken stay taken, though never more than a full bucket has; calls that
    /// wait keep their turns. It holds the locks of a table of keys for a moment, one by one.
    ///
    /// # Errors
    ///
    /// What [`RateLimit::check`] finds, and then all stays as it was.
    pub fn update(&self, limit: RateLimit) -> Result<(), Invalid> {
        self.state.update(limit)
    }

    /// How many calls would be admitted at once: those without a key, if the limit is by key.
    pub fn tokens(&self) -> u64 {
        self.state.tokens()
    }

    /// How many calls have been refused.
    pub fn refused(&self) -> u64 {
        self.state.refused()
    }

    /// How often a call's key had no room for a limit of its own.
    pub fn crowded(&self) -> u64 {
        self.state.crowded()
    }
}

impl Inspect for Handle {
    fn name(&self) -> String {
        self.name.clone().into_owned()
    }

    fn snapshot(&self) -> String {
        let RateLimit { calls, period, burst, patience } = self.limit();
        let (tokens, refused, crowded) = (self.tokens(), self.refused(), self.crowded());
        format!(
            "{{\"calls\":{calls},\"period\":\"{period:?}\",\"burst\":{burst},\
             \"patience\":\"{patience:?}\",\"tokens\":{tokens},\"refused\":{refused},\
             \"crowded\":{crowded}}}"
        )
    }
}
