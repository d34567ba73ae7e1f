//! The end of a call whose response is a stream.
//!
//! A guard that would end with the response is parked instead in a slot that belongs to the call,
//! and ends when whoever makes the stream says so.

use crate::{Code, Error, Verdict, clock};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub enum How<'a> {
    /// The call returned its outcome, which the guard has seen as its response.
    Returned,
    /// The stream of responses ran to its end, or broke off with this error.
    Streamed(Result<(), &'a Error>),
    /// The call was given up before its end: cancelled, timed out, or the peer is gone.
    Dropped,
    /// A handler, a layer or an encoder panicked.
    Panicked,
}

/// The end of a call, as a guard sees it.
#[derive(Debug)]
pub struct End<'a> {
    how: How<'a>,
    /// When it was, if that has been read already.
    at: Option<Instant>,
}

impl<'a> End<'a> {
    pub(crate) fn new(how: How<'a>) -> Self {
        Self { how, at: None }
    }

    /// How the call ended.
    pub fn how(&self) -> How<'a> {
        self.how
    }

    /// When the call that [started](crate::Call::started) then has ended.
    ///
    /// All guards of a call share one reading of the clock, which is known by that start.
    #[inline]
    pub fn at(&self, started: Instant) -> Instant {
        self.at.unwrap_or_else(|| clock::ended(started).0)
    }

    /// How long the call that [started](crate::Call::started) then has taken.
    #[inline]
    pub fn took(&self, started: Instant) -> Duration {
        match self.at {
            Some(at) => at.saturating_duration_since(started),
            None => clock::ended(started).1,
        }
    }

    /// What the call that [started](crate::Call::started) then came to, for whoever tells of it.
    ///
    /// That is what its outcome was `answered` to be, unless its stream broke off, it panicked, or
    /// it was given up: then it is cancelled, or late if its deadline has passed.
    #[inline]
    pub fn verdict(
        &self,
        answered: Verdict,
        started: Instant,
        deadline: Option<Instant>,
    ) -> Verdict {
        match self.how {
            How::Returned | How::Streamed(Ok(())) => answered,
            How::Streamed(Err(error)) => Verdict::of(error.code()),
            How::Panicked => Verdict { code: Code::Internal, failed: true },
            How::Dropped => {
                let late = deadline.is_some_and(|deadline| deadline <= self.at(started));
                Verdict::of(if late { Code::DeadlineExceeded } else { Code::Cancelled })
            }
        }
    }
}

/// A guard that waits for the end of its stream.
pub(crate) trait Parked: Send {
    /// Does the work inside the guard's scope.
    fn scoped(&self, work: &mut dyn FnMut());
    fn end(self: Box<Self>, end: End<'_>);
}

#[derive(Default)]
struct Slot {
    /// Somebody will tell when the stream ends.
    owned: bool,
    /// The stream has begun or is over: too late to park.
    closed: bool,
    /// By when the stream must end, as the layers of the call want it.
    deadline: Option<Instant>,
    parked: Vec<Box<dyn Parked>>,
}

/// The place where guards are parked. It belongs to one call, and only the call's own request
/// holds it.
#[derive(Clone, Default)]
pub(crate) struct EndSlot(Arc<Mutex<Slot>>);

impl EndSlot {
    fn with<T>(&self, work: impl FnOnce(&mut Slot) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Parks a guard if somebody will tell when the stream ends, and has not begun to yet; else
    /// gives it back.
    pub(crate) fn park<G>(&self, guard: G, wrap: impl FnOnce(G) -> Box<dyn Parked>) -> Option<G> {
        self.with(|slot| {
            if !slot.owned || slot.closed {
                return Some(guard);
            }
            slot.parked.push(wrap(guard));
            None
        })
    }

    /// Has the stream end by then, unless it must end earlier.
    pub(crate) fn limit(&self, deadline: Instant) {
        self.with(|slot| {
            slot.deadline = Some(slot.deadline.map_or(deadline, |known| known.min(deadline)));
        });
    }

    /// Makes the caller the one who tells when the stream ends, if nobody else is.
    pub(crate) fn claim(&self) -> Option<Ending> {
        let free = self.with(|slot| !std::mem::replace(&mut slot.owned, true));
        free.then(|| Ending {
            slot: Some(self.clone()),
            deadline: None,
            parked: Vec::new(),
            polling: false,
        })
    }
}

/// Tells the guards of a call when its stream has ended: held by the transport that makes the
/// stream.
///
/// Dropped before [`finish`](Self::finish), it says that the call was given up, or that the stream
/// panicked.
pub struct Ending {
    /// Where guards are parked, until the stream begins.
    slot: Option<EndSlot>,
    deadline: Option<Instant>,
    parked: Vec<Box<dyn Parked>>,
    polling: bool,
}

impl Ending {
    /// By when the stream must have ended, where a layer of the call has set a limit: known when
    /// the call has returned its stream.
    ///
    /// A server's transport cuts the stream then, or by the deadline of the call's context,
    /// whichever comes first.
    pub fn deadline(&self) -> Option<Instant> {
        self.slot.as_ref().map_or(self.deadline, |slot| slot.with(|slot| slot.deadline))
    }

    /// Polls the stream inside the scopes of all guards, the outermost first.
    pub fn scoped<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        self.begin();
        clock::forget();
        self.polling = true;
        let mut poll = Some(poll);
        let mut polled = None;
        nest(&self.parked, &mut || polled = poll.take().map(|poll| poll()));
        self.polling = false;
        match polled {
            Some(polled) => polled,
            // A scope that doesn't run its work would lose a poll and hang the stream.
            None => unreachable!("every scope runs its work"),
        }
    }

    /// Ends the call: its stream ran to its end, or broke off with this error.
    pub fn finish(mut self, result: Result<(), &Error>) {
        self.end(How::Streamed(result));
    }

    /// No more guards come once the stream has begun, so the slot need not be locked again.
    fn begin(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.parked = slot.with(|slot| {
                slot.closed = true;
                self.deadline = slot.deadline;
                std::mem::take(&mut slot.parked)
            });
        }
    }

    fn end(&mut self, how: How<'_>) {
        self.begin();
        if self.parked.is_empty() {
            return;
        }
        let at = Some(Instant::now());
        for guard in self.parked.drain(..) {
            guard.end(End { how, at });
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end(if self.polling { How::Panicked } else { How::Dropped });
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ending").finish_non_exhaustive()
    }
}

/// Enters the scopes from the last parked guard, the outermost, to the first.
fn nest(parked: &[Box<dyn Parked>], work: &mut dyn FnMut()) {
    match parked.split_last() {
        Some((outermost, rest)) => outermost.scoped(&mut || nest(rest, work)),
        None => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_was_given_up_is_late_or_cancelled_and_one_that_returned_is_what_it_was() {
        let started = Instant::now();
        let verdict = |how, deadline| {
            let end = End { how, at: Some(started + Duration::from_secs(1)) };
            end.verdict(Verdict::of(Code::NotFound), started, deadline).code
        };
        let broken = Error::of(Code::DataLoss);
        assert_eq!(verdict(How::Returned, Some(started)), Code::NotFound);
        assert_eq!(verdict(How::Streamed(Ok(())), None), Code::NotFound);
        assert_eq!(verdict(How::Streamed(Err(&broken)), None), Code::DataLoss);
        assert_eq!(verdict(How::Panicked, None), Code::Internal);
        assert_eq!(verdict(How::Dropped, None), Code::Cancelled);
        assert_eq!(verdict(How::Dropped, Some(started)), Code::DeadlineExceeded);
        let later = Some(started + Duration::from_secs(2));
        assert_eq!(verdict(How::Dropped, later), Code::Cancelled);
    }
}
