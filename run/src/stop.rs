use std::fmt;
use tokio::sync::watch;

/// Tells an actor when to stop.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    pub(crate) fn new(told: watch::Receiver<bool>) -> Self {
        Self(told)
    }

    /// Waits until the actor is told to stop. A server takes this as its shutdown.
    pub async fn requested(mut self) {
        // If the one who tells is gone, nothing is left to run for.
        let _ = self.0.wait_for(|told| *told).await;
    }

    /// Whether the actor has been told to stop.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stop").field(&self.is_requested()).finish()
    }
}
