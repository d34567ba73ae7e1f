//! A body whose deadline holds though nobody polls it.

use crate::Body;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// The body of a response that has a deadline.
///
/// Whoever sends a body polls it only where the peer has room for more, so that a peer which reads
/// nothing would keep a handler's stream beyond any deadline. A task looks after that; it owns
/// nothing of the body, and ends with it.
pub(crate) struct Overseen {
    body: Arc<Mutex<Body>>,
    overseer: JoinHandle<()>,
}

impl Overseen {
    pub(crate) fn new(body: Body, deadline: Instant) -> Self {
        let body = Arc::new(Mutex::new(body));
        let overseen = Arc::downgrade(&body);
        let overseer = tokio::spawn(async move {
            sleep_until(deadline).await;
            if let Some(body) = overseen.upgrade() {
                lock(&body).expire();
            }
        });
        Self { body, overseer }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Body> {
        lock(&self.body)
    }
}

fn lock(body: &Mutex<Body>) -> MutexGuard<'_, Body> {
    body.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Overseen {
    fn drop(&mut self) {
        self.overseer.abort();
    }
}
