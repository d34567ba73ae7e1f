use crate::{Answer, request::StreamLimit};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context as Task, Poll},
};
use tokio::time::{Instant, Sleep, sleep_until};

pin_project! {
    /// The future of a call that is given up at an instant.
    ///
    /// The timer is made when the call first has to wait, so one that never waits costs none, and
    /// it is gone with the future. It needs a tokio runtime with its timer on.
    ///
    /// The future ends with the head of a stream. Where the call's transport waits for the end of
    /// that, it learns of the deadline by the call's [`Ending`](crate::Ending), unless the call
    /// fails: another attempt may have more time.
    pub struct Expiring<F, R, A> {
        #[pin]
        inner: Option<F>,
        #[pin]
        timer: Option<Sleep>,
        deadline: Option<Instant>,
        refusal: Option<R>,
        answer: A,
        limit: StreamLimit,
    }
}

impl<F, R, A> Expiring<F, R, A> {
    /// Gives the call up at the deadline, if there is one, and answers with the refusal. The limit
    /// is [`Call::stream_limit`](crate::Call) of its request.
    pub fn new(
        inner: F,
        deadline: Option<Instant>,
        refusal: R,
        answer: A,
        limit: StreamLimit,
    ) -> Self {
        Self { inner: Some(inner), timer: None, deadline, refusal: Some(refusal), answer, limit }
    }

    /// A call whose deadline had passed before it was made.
    pub fn expired(refusal: R, answer: A) -> Self {
        let (refusal, limit) = (Some(refusal), StreamLimit(None));
        Self { inner: None, timer: None, deadline: None, refusal, answer, limit }
    }
}

impl<F, R, A, Res, Err> Future for Expiring<F, R, A>
where
    F: Future<Output = Result<Res, Err>>,
    A: Answer<R, Res, Err>,
{
    type Output = Result<Res, Err>;

    #[inline]
    fn poll(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(inner) = this.inner.as_mut().as_pin_mut() {
            if let Poll::Ready(outcome) = inner.poll(task) {
                if let (Ok(_), Some(slot), Some(deadline)) =
                    (&outcome, &this.limit.0, *this.deadline)
                {
                    slot.limit(deadline);
                }
                return Poll::Ready(outcome);
            }
            let Some(deadline) = *this.deadline else { return Poll::Pending };
            if this.timer.is_none() {
                this.timer.set(Some(sleep_until(deadline)));
            }
            let timer = this.timer.as_mut().as_pin_mut().map(|timer| timer.poll(task));
            // A call that has used up the task's budget keeps the timer from saying anything, so
            // the clock has the last word.
            if timer.is_some_and(|timer| timer.is_pending()) && Instant::now() < deadline {
                return Poll::Pending;
            }
        }
        // The call ends before its caller hears of it, and gives back what it held.
        this.inner.set(None);
        this.timer.set(None);
        match this.refusal.take() {
            Some(refusal) => Poll::Ready(this.answer.answer(refusal)),
            None => panic!("`Expiring` polled after its end"),
        }
    }
}

impl<F, R, A> fmt::Debug for Expiring<F, R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expiring").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
