//! A stream whose deadline holds though nobody polls it.

use crate::body::ResponseStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// The stream of a response that has a deadline.
///
/// Whoever sends a body polls it only where the peer has room for more, so that a peer which reads
/// nothing would keep a handler's stream beyond any deadline. A task looks after that; it owns
/// nothing of the stream, and ends with it.
pub(crate) struct Overseen {
    stream: Arc<Mutex<ResponseStream>>,
    overseer: JoinHandle<()>,
}

impl Overseen {
    pub(crate) fn new(stream: ResponseStream, deadline: Instant) -> Self {
        let stream = Arc::new(Mutex::new(stream));
        let overseen = Arc::downgrade(&stream);
        let overseer = tokio::spawn(async move {
            sleep_until(deadline).await;
            if let Some(stream) = overseen.upgrade() {
                lock(&stream).expire();
            }
        });
        Self { stream, overseer }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, ResponseStream> {
        lock(&self.stream)
    }
}

fn lock(stream: &Mutex<ResponseStream>) -> MutexGuard<'_, ResponseStream> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Overseen {
    fn drop(&mut self) {
        self.overseer.abort();
    }
}
