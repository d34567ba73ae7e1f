use crate::state::State;
use purlin_endpoint::{Inspect, Invalid};
use purlin_ratelimit::RateLimit;
use std::sync::Arc;

/// Shows how a layer gets on with Redis, and changes its limit while calls run.
#[derive(Clone, Debug)]
pub struct Handle {
    state: Arc<State>,
}

impl Handle {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    /// The limit as it is.
    pub fn limit(&self) -> RateLimit {
        *self.state.limit()
    }

    /// Changes the limit of this process, from the next call on.
    ///
    /// The buckets stay as they are, though never more than empty.
    ///
    /// # Errors
    ///
    /// What [`RateLimit::check`] finds, and then all stays as it was.
    pub fn update(&self, limit: RateLimit) -> Result<(), Invalid> {
        self.state.update(limit)
    }

    /// Whether Redis is away.
    pub fn is_away(&self) -> bool {
        self.state.is_away()
    }

    /// How many calls have been refused by this process.
    pub fn refused(&self) -> u64 {
        self.state.refused()
    }
}

impl Inspect for Handle {
    fn name(&self) -> String {
        format!("ratelimit {}", self.state.name())
    }

    fn snapshot(&self) -> String {
        let RateLimit { calls, period, burst, patience, .. } = self.limit();
        let (away, refused) = (self.is_away(), self.refused());
        format!(
            "{{\"calls\":{calls},\"period\":\"{period:?}\",\"burst\":{burst},\
             \"patience\":\"{patience:?}\",\"away\":{away},\"refused\":{refused}}}"
        )
    }
}
