use crate::{
    line::Line,
    options::Options,
    signal::{Born, Order, Signal},
};
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a peer without calls may take to say goodbye to a server that is closing an HTTP/2
/// connection. It answers a ping, so a round trip is enough.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long the peer may take to end a connection on which all has been said.
pub(crate) const PARTING: Duration = Duration::from_secs(1);

/// How a conversation ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// By itself.
    Over(hyper::Result<()>),
    /// The server closed it, and no call was in progress.
    Left,
    /// The peer took too long.
    TimedOut,
    /// The server closed it while a call was in progress.
    Cut,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Part of a head has come (HTTP/1 only).
    Head,
    /// Nothing.
    Idle,
    /// Calls are in progress.
    Busy,
    /// The peer doesn't take what is sent.
    Stalled,
    /// All has been said, and the peer may still be sending.
    Parting,
}

/// Looks after the time that a connection takes.
///
/// There is one timer. It is not moved when a deadline moves further away, as it does with each
/// call, but looks again when it fires: so a call costs one reading of the clock, and no timer.
pub(crate) struct Watch<'a> {
    line: &'a Line,
    options: &'a Options,
    http1: bool,
    phase: Phase,
    /// The number of changes on the line when the phase was last determined.
    mark: u32,
    /// When the peer will have taken too long.
    deadline: Option<Instant>,
    /// When the connection is old enough to be closed or, once it is leaving, to be cut.
    old: Option<Instant>,
    leaving: bool,
    armed: bool,
}

impl<'a> Watch<'a> {
    /// Watches a connection whose first byte came at `heard`.
    pub(crate) fn new(
        line: &'a Line,
        options: &'a Options,
        http1: bool,
        heard: Instant,
        age: Duration,
    ) -> Self {
        let (phase, patience) = match http1 {
            true => (Phase::Head, options.header_timeout),
            false => (Phase::Idle, options.idle_timeout),
        };
        Self {
            line,
            options,
            http1,
            phase,
            mark: 0,
            deadline: heard.checked_add(patience),
            old: heard.checked_add(age),
            leaving: false,
            armed: false,
        }
    }

    /// Runs a connection to its end.
    pub(crate) async fn run<C>(
        mut self,
        mut connection: Pin<&mut C>,
        finish: fn(Pin<&mut C>),
        signal: &Signal,
        born: Born,
    ) -> Outcome
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut timer = pin!(sleep_until(Instant::now()));
        let mut order = Order::Serve;
        loop {
            let mut reached = pin!(signal.reached_by(born, order.next()));
            let mut listening = false;
            let news = poll_fn(|cx| {
                self.line.begin();
                if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
                    return Poll::Ready(News::Over(outcome));
                }
                if self.look() {
                    return Poll::Ready(News::Left);
                }
                if self.is_due(timer.as_mut(), cx) {
                    return Poll::Ready(News::Due);
                }
                // The task's waker never changes, so that once polled, this wakes it.
                if !listening || signal.order(born) > order {
                    listening = true;
                    return reached.as_mut().poll(cx).map(|()| News::Order);
                }
                Poll::Pending
            });
            match news.await {
                News::Over(outcome) => return Outcome::Over(outcome),
                News::Left => return Outcome::Left,
                News::Due if self.is_old() && self.leaving => return Outcome::Cut,
                News::Due if self.is_old() => {
                    let cut = self.cut();
                    if let Poll::Ready(outcome) = self.leave(connection.as_mut(), finish, cut).await
                    {
                        return Outcome::Over(outcome);
                    }
                }
                News::Due if self.phase == Phase::Parting => return Outcome::Left,
                News::Due => return Outcome::TimedOut,
                News::Order if signal.order(born) == Order::Stop => return self.stopped(),
                News::Order => {
                    order = signal.order(born);
                    // Whoever has all of them finish looks at the clock himself.
                    let cut = if order == Order::Retire { self.cut() } else { None };
                    if let Poll::Ready(outcome) = self.leave(connection.as_mut(), finish, cut).await
                    {
                        return Outcome::Over(outcome);
                    }
                }
            }
        }
    }

    /// Answers what has been asked, and takes no more.
    async fn leave<C>(
        &mut self,
        mut connection: Pin<&mut C>,
        finish: fn(Pin<&mut C>),
        cut: Option<Instant>,
    ) -> Poll<hyper::Result<()>>
    where
        C: Future<Output = hyper::Result<()>>,
    {
        // A request may have come that the runtime has not told of yet. It is heard, and answered.
        tokio::task::yield_now().await;
        self.line.begin();
        if let over @ Poll::Ready(_) = poll_fn(|cx| Poll::Ready(connection.as_mut().poll(cx))).await
        {
            return over;
        }
        finish(connection);
        self.leaving = true;
        self.old = cut;
        if self.phase == Phase::Idle {
            self.deadline = self.patience().and_then(|long| Instant::now().checked_add(long));
        }
        Poll::Pending
    }

    /// When a connection that leaves now has had its time.
    fn cut(&self) -> Option<Instant> {
        Instant::now().checked_add(self.options.age_grace)
    }

    fn stopped(&self) -> Outcome {
        match self.line.calls() {
            (0, _) => Outcome::Left,
            _ => Outcome::Cut,
        }
    }

    /// Determines the phase. Returns whether a leaving connection has nothing left to do.
    fn look(&mut self) -> bool {
        let heard = self.line.heard();
        let (calls, mark) = self.line.calls();
        let same = mark == self.mark;
        let quiet = same && matches!(self.phase, Phase::Head | Phase::Idle);
        let phase = if self.line.parting() {
            Phase::Parting
        } else if self.line.blocked() {
            Phase::Stalled
        } else if calls > 0 {
            Phase::Busy
        } else if self.http1 && same && (heard || self.phase == Phase::Head) {
            Phase::Head
        } else {
            Phase::Idle
        };
        if !same || phase != self.phase {
            self.phase = phase;
            self.mark = mark;
            self.deadline = self.patience().and_then(|long| Instant::now().checked_add(long));
        }
        match phase {
            Phase::Head | Phase::Idle => self.leaving && self.http1,
            // Without a call before it there is no answer that its peer could lose.
            Phase::Parting => self.leaving && quiet,
            Phase::Busy | Phase::Stalled => false,
        }
    }

    /// How long the peer may stay in this phase.
    fn patience(&self) -> Option<Duration> {
        match self.phase {
            Phase::Head => Some(self.options.header_timeout),
            Phase::Idle if self.leaving => Some(GOODBYE.min(self.options.idle_timeout)),
            Phase::Idle => Some(self.options.idle_timeout),
            Phase::Busy => None,
            Phase::Stalled => Some(self.options.stall_timeout),
            Phase::Parting => Some(PARTING),
        }
    }

    fn is_old(&self) -> bool {
        self.old.is_some_and(|old| old <= Instant::now())
    }

    /// Whether a deadline has passed. If not, the timer is armed for it.
    fn is_due(&mut self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> bool {
        let due = match (self.deadline, self.old) {
            (Some(deadline), Some(old)) => Some(deadline.min(old)),
            (deadline, old) => deadline.or(old),
        };
        let sooner = due.is_some_and(|due| due < timer.deadline());
        if self.armed && !sooner && !timer.is_elapsed() {
            return false;
        }
        loop {
            let now = Instant::now();
            if due.is_some_and(|due| due <= now) {
                return true;
            }
            // While calls are in progress it looks again after a while, for it is cheaper to be
            // there too early than to be moved back when the connection is idle again.
            let later = now.checked_add(self.options.idle_timeout);
            let next = match (due, later) {
                (Some(due), Some(later)) => due.min(later),
                (due, later) => match due.or(later) {
                    Some(next) => next,
                    None => return false,
                },
            };
            timer.as_mut().reset(next);
            self.armed = true;
            if timer.as_mut().poll(cx).is_pending() {
                return false;
            }
        }
    }
}

enum News {
    Over(hyper::Result<()>),
    Left,
    Due,
    Order,
}
