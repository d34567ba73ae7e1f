use crate::{body::header_map, tail::Tail};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use purlin_endpoint::{BoxError, Code, Ending, Error, Panicked, Reply, catch_panic};
use std::{
    fmt, io,
    pin::Pin,
    task::{Context as Task, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// A body had more bytes than its limit allows.
///
/// A server answers with 413.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyTooLarge {
    /// How many bytes are allowed.
    pub limit: u64,
}

impl fmt::Display for BodyTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the body is larger than {} bytes", self.limit)
    }
}

impl std::error::Error for BodyTooLarge {}

impl From<BodyTooLarge> for Error {
    fn from(error: BodyTooLarge) -> Self {
        Self::new(Code::ResourceExhausted, error).attach(StatusCode::PAYLOAD_TOO_LARGE)
    }
}

/// A body paused for longer than its idle timeout.
///
/// A server answers with 408.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyStalled;

impl fmt::Display for BodyStalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body came too slowly")
    }
}

impl std::error::Error for BodyStalled {}

impl From<BodyStalled> for Error {
    fn from(error: BodyStalled) -> Self {
        // It is the sender who gave up, as far as anybody can tell.
        Self::new(Code::Cancelled, error).attach(StatusCode::REQUEST_TIMEOUT)
    }
}

/// What happens beside the bytes of a body.
#[derive(Default)]
pub(crate) struct Watch {
    /// How many bytes may come, and how many have.
    pub(crate) limit: Option<u64>,
    pub(crate) count: u64,
    /// How long a pause may last.
    pub(crate) idle: Option<Duration>,
    /// When the last byte must have come.
    pub(crate) deadline: Option<Instant>,
    pub(crate) timer: Option<Timer>,
    /// What a body that breaks off means.
    pub(crate) broken: Option<Code>,
    /// Who waits for the end: the call's own guards, then those outside the transport.
    pub(crate) endings: [Option<Ending>; 2],
    /// Where trailers are written.
    pub(crate) reply: Option<Reply>,
    /// Whether trailers are there already.
    pub(crate) trailing: bool,
    pub(crate) tail: Option<Box<Tail>>,
    /// Nobody will ask for the bytes, as in the answer to `HEAD`.
    pub(crate) unread: bool,
}

pub(crate) struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// Whether it is the deadline that it waits for.
    deadline: bool,
    /// Whether it was set in the pause that lasts.
    current: bool,
}

type Polled<E> = Poll<Option<Result<Frame<Bytes>, E>>>;

impl Watch {
    /// Polls the body, and judges what comes.
    pub(crate) fn poll(
        &mut self,
        task: &mut Task<'_>,
        poll: impl FnOnce(&mut Task<'_>) -> Polled<BoxError>,
    ) -> Polled<Error> {
        // A stream that never pauses would not come to the timer.
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Poll::Ready(Some(Err(Error::of(Code::DeadlineExceeded))));
        }
        let polled = catch_panic(|| {
            let [inner, outer] = &mut self.endings;
            scoped(outer, || scoped(inner, || poll(task)))
        });
        match polled {
            Err(Panicked) => {
                // Guards learn of a panic from the drop of what tells them.
                self.endings = [None, None];
                Poll::Ready(Some(Err(Panicked.into())))
            }
            Ok(Poll::Pending) => match self.poll_timer(task) {
                Poll::Ready(error) => Poll::Ready(Some(Err(error))),
                Poll::Pending => Poll::Pending,
            },
            Ok(Poll::Ready(frame)) => {
                if let Some(timer) = &mut self.timer {
                    timer.current = false;
                }
                Poll::Ready(frame.map(|frame| self.judge(frame)))
            }
        }
    }

    fn judge(&mut self, frame: Result<Frame<Bytes>, BoxError>) -> Result<Frame<Bytes>, Error> {
        let frame = frame.map_err(|error| self.broke_off(error))?;
        if let Some(data) = frame.data_ref() {
            self.count = self.count.saturating_add(data.len() as u64);
            if let Some(limit) = self.limit.filter(|limit| self.count > *limit) {
                return Err(BodyTooLarge { limit }.into());
            }
            if let Some(tail) = &mut self.tail {
                tail.moved(data.len());
            }
        }
        Ok(frame)
    }

    fn broke_off(&self, error: BoxError) -> Error {
        let code = match self.broken {
            Some(_) if self.is_cut_in_time() => Code::DeadlineExceeded,
            Some(code) if !error.is::<Error>() => code,
            _ => return error.into(),
        };
        match is_malformed(&*error) {
            true => Error::new(Code::InvalidArgument, error).public("the body is malformed"),
            false => Error::new(code, error).public("the body broke off"),
        }
    }

    /// Whether what breaks off now does so by its deadline: a server that is told whole milliseconds
    /// ends by one of them too early.
    fn is_cut_in_time(&self) -> bool {
        let soon = Instant::now() + Duration::from_millis(1);
        self.deadline.is_some_and(|deadline| deadline <= soon)
    }

    fn poll_timer(&mut self, task: &mut Task<'_>) -> Poll<Error> {
        if self.idle.is_none() && self.deadline.is_none() {
            return Poll::Pending;
        }
        if !self.timer.as_ref().is_some_and(|timer| timer.current || timer.deadline) {
            self.arm();
        }
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        match timer.sleep.as_mut().poll(task) {
            Poll::Ready(()) if timer.deadline => Poll::Ready(Error::of(Code::DeadlineExceeded)),
            Poll::Ready(()) => Poll::Ready(BodyStalled.into()),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Sets the timer to what comes first: the end of the pause that begins, or the deadline.
    fn arm(&mut self) {
        let pause = self.idle.and_then(|idle| Instant::now().checked_add(idle));
        let (until, deadline) = match (pause, self.deadline) {
            (None, None) => return,
            (Some(pause), None) => (pause, false),
            (None, Some(deadline)) => (deadline, true),
            (Some(pause), Some(deadline)) => (pause.min(deadline), deadline <= pause),
        };
        match &mut self.timer {
            Some(timer) => {
                timer.sleep.as_mut().reset(until);
                timer.deadline = deadline;
                timer.current = true;
            }
            None => {
                let sleep = Box::pin(sleep_until(until));
                self.timer = Some(Timer { sleep, deadline, current: true });
            }
        }
    }

    /// Whether trailers follow the bytes, as far as is known.
    pub(crate) fn adds_trailers(&self) -> bool {
        self.trailing
    }

    /// The trailers that were written until now.
    pub(crate) fn trailers(&mut self) -> Option<HeaderMap> {
        header_map(self.reply.take()?.take().trailers)
    }

    /// Tells everybody that the body has ended.
    pub(crate) fn finish(mut self, result: Result<(), &Error>) {
        for ending in self.endings.iter_mut().filter_map(Option::take) {
            ending.finish(result);
        }
        if let Some(mut tail) = self.tail.take() {
            tail.finish(result);
        }
    }
}

fn scoped<T>(ending: &mut Option<Ending>, work: impl FnOnce() -> T) -> T {
    match ending {
        Some(ending) => ending.scoped(work),
        None => work(),
    }
}

/// Whether the bytes were wrong, and not only too few.
fn is_malformed(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
            );
        }
        next = error.source();
    }
    false
}
