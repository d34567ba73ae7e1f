//! The deadline of a call, as a future that the call's own work is polled beside.

use purlin_endpoint::{Code, Error};
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context as Task, Poll},
};
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer, where there is a deadline. Without one nothing is registered anywhere.
pub(crate) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    pub(crate) fn until(deadline: Option<Instant>) -> Self {
        Self(deadline.map(|at| Box::pin(sleep_until(at))))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.as_ref().map(|timer| timer.deadline())
    }

    /// The one of both that passes first.
    pub(crate) fn or_earlier(self, other: Option<Instant>) -> Self {
        let known = self.deadline();
        match other.filter(|other| known.is_none_or(|known| *other < known)) {
            None => self,
            earlier => Self::until(earlier),
        }
    }

    /// Whether the deadline has passed; if not, the task is woken when it does.
    pub(crate) fn has_passed(&mut self, task: &mut Task<'_>) -> bool {
        self.0.as_mut().is_some_and(|timer| timer.as_mut().poll(task).is_ready())
    }

    /// Does the work, up to the deadline. Work that has expired does not begin.
    pub(crate) async fn limit<T>(
        &mut self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut work = pin!(work);
        poll_fn(|task| match self.has_passed(task) {
            true => Poll::Ready(Err(expired())),
            false => work.as_mut().poll(task),
        })
        .await
    }
}

pub(crate) fn expired() -> Error {
    Error::of(Code::DeadlineExceeded)
}
