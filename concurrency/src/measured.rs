//! What is remembered of a call until it is known how it went.

use crate::{adaptive::Sample, limiter::Limiter};
use purlin_endpoint::{Call, Code, Context, End, How};
use std::{mem, ptr, time::Duration};
use tokio::time::Instant;

/// When a call was let in, how long it had then, and how it was answered.
///
/// It is one word, since a call costs most for what it moves: from the lowest bit on, two bits say
/// how it was answered, 16 how long it had in units of 4 ms, the rest when it was let in, in
/// microseconds since the limiter was made, which comes round after two years.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measured(u64);

const UNANSWERED: u64 = 1;
const WELL: u64 = 2;
const DROPPED: u64 = 3;

const FAR: u64 = 0xffff;
const UNIT: Duration = Duration::from_millis(4);
const COMES_ROUND: u64 = (1 << 46) - 1;

impl Measured {
    /// Nobody wants to know.
    pub(crate) const NOT: Self = Self(0);

    #[inline(never)]
    pub(crate) fn new(limiter: &Limiter, call: &mut impl Call) -> Self {
        let entered = Entered::of(limiter, call.context()).unwrap_or_else(|| call.started());
        let units = |left: Duration| (left.as_millis() / UNIT.as_millis()).min(FAR.into()) as u64;
        let left = call.context().remaining(entered).map_or(FAR, units);
        Self(micros(limiter, entered) << 18 | left << 2 | UNANSWERED)
    }

    #[inline]
    pub(crate) fn is(self) -> bool {
        self != Self::NOT
    }

    pub(crate) fn answered(self, code: Code) -> Self {
        match judge(code) {
            Some(how) => Self(self.0 & !3 | how),
            None => Self::NOT,
        }
    }

    /// Tells how the call went, if that says anything about load.
    #[inline(never)]
    pub(crate) fn tell(self, limiter: &Limiter, end: &End<'_>) {
        let at = Instant::now();
        let took = micros(limiter, at).wrapping_sub(self.0 >> 18) & COMES_ROUND;
        let took = Duration::from_micros(took);
        let left = self.0 >> 2 & FAR;
        let how = match end.how() {
            How::Returned => self.0 & 3,
            How::Streamed(Err(error)) => judge(error.code()).unwrap_or(UNANSWERED),
            How::Dropped if left < FAR && took >= UNIT * left as u32 => DROPPED,
            // How long a stream takes is up to who reads it.
            How::Streamed(Ok(())) | How::Dropped | How::Panicked => UNANSWERED,
        };
        match how {
            WELL => limiter.sample(&Sample { at, took: Some(took) }),
            DROPPED => limiter.sample(&Sample { at, took: None }),
            _ => {}
        }
    }
}

/// When a call that has waited was let in, so that its wait is no latency. It travels with the
/// call's context, for no longer than from here to the guard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entered {
    /// Known by its address, since a call may pass several.
    limiter: usize,
    at: Instant,
}

impl Entered {
    pub(crate) fn note(limiter: &Limiter, context: &mut Context) {
        let entered = Self { limiter: ptr::from_ref(limiter).addr(), at: Instant::now() };
        *context = mem::take(context).with(entered);
    }

    fn of(limiter: &Limiter, context: &Context) -> Option<Instant> {
        let entered = context.get::<Self>()?;
        (entered.limiter == ptr::from_ref(limiter).addr()).then_some(entered.at)
    }
}

fn judge(code: Code) -> Option<u64> {
    match code {
        Code::Ok => Some(WELL),
        Code::DeadlineExceeded | Code::ResourceExhausted | Code::Unavailable => Some(DROPPED),
        _ => None,
    }
}

fn micros(limiter: &Limiter, at: Instant) -> u64 {
    let since = at.saturating_duration_since(limiter.made());
    (since.as_secs() * 1_000_000 + u64::from(since.subsec_micros())) & COMES_ROUND
}
