//! How a client's stream of requests ends before its last.

use crate::{body::Produce, status};
use bytes::BytesMut;
use purlin_endpoint::Error;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context as Task, Poll, Waker},
};

/// What the two halves of a call tell each other.
#[derive(Clone, Default)]
pub(crate) struct Broken(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Why the requests broke off: the server can't know it, but the caller does.
    why: Option<Error>,
    /// Nobody waits for the response any more.
    given_up: bool,
    /// Whoever sends the requests, while there is none to send.
    sender: Option<Waker>,
}

impl Broken {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self) -> Option<Error> {
        self.state().why.take()
    }

    /// Whether the call was given up; if not, the task is woken when it is.
    fn is_given_up(&self, task: &Task<'_>) -> bool {
        let mut state = self.state();
        if !state.given_up && !state.sender.as_ref().is_some_and(|it| it.will_wake(task.waker())) {
            state.sender = Some(task.waker().clone());
        }
        state.given_up
    }
}

/// Held for as long as somebody waits for the response.
///
/// HTTP/2 knows a stream as cancelled only when both its halves are let go, and a half that waits
/// for its next message would never be.
pub(crate) struct Waiting(pub(crate) Broken);

impl Drop for Waiting {
    fn drop(&mut self) {
        let sender = {
            let mut state = self.0.state();
            state.given_up = true;
            state.sender.take()
        };
        if let Some(sender) = sender {
            sender.wake();
        }
    }
}

/// The messages of a request, as long as somebody waits for the response.
pub(crate) struct Watched<P> {
    /// `None` after the call was given up, so that what they hold is let go at once.
    pub(crate) messages: Option<P>,
    pub(crate) broken: Broken,
}

impl<P: Produce> Produce for Watched<P> {
    fn poll(&mut self, task: &mut Task<'_>, out: &mut BytesMut) -> Poll<Option<Result<(), Error>>> {
        let next = match &mut self.messages {
            Some(messages) => messages.poll(task, out),
            None => Poll::Pending,
        };
        match next {
            Poll::Ready(Some(Err(error))) => {
                let sent = status::cancelling(error.code());
                self.broken.state().why = Some(error);
                Poll::Ready(Some(Err(sent)))
            }
            // A request that is over ends as usual, whether somebody waits or not.
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(_) | Poll::Pending if self.broken.is_given_up(task) => {
                self.messages = None;
                Poll::Ready(Some(Err(status::cancelling(purlin_endpoint::Code::Cancelled))))
            }
            next => next,
        }
    }
}
