//! What retries and hedges do alike: know a repeated call, mark one, and limit an attempt.

use crate::{TimedOut, attempts::AsFailure};
use purlin_endpoint::{Call, Context, Expiring, Method, Request};
use std::{mem, time::Duration};
use tokio::time::Instant;

/// In the context of a first attempt beside which others are made.
struct Hedging;

/// Marks a first attempt beside which others are made, for the layers inside.
pub(crate) fn mark(request: &mut impl Call) {
    change(request, |context| context.with(Hedging));
}

/// Whether somebody further out repeats this call, so that nobody else may.
#[inline]
pub(crate) fn is_repeated(context: &Context) -> bool {
    context.attempt() > 0 || context.get::<Hedging>().is_some()
}

/// Changes the context of a request.
pub(crate) fn change(request: &mut impl Call, change: impl FnOnce(Context) -> Context) {
    let context = request.context_mut();
    *context = change(mem::take(context));
}

/// How long an attempt may take.
pub(crate) struct Limit {
    until: Option<Instant>,
    timed_out: TimedOut,
}

impl Limit {
    /// An attempt that nobody here limits.
    pub(crate) const NONE: Self =
        Self { until: None, timed_out: TimedOut { after: Duration::ZERO, attempt: false } };

    /// An attempt that begins now, in a call with this deadline and with this time of its own.
    pub(crate) fn new(deadline: Option<Instant>, own: Option<Duration>, now: Instant) -> Self {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now));
        let (until, after, attempt) = match own {
            // A time too far away to be told is none.
            Some(own) if left.is_none_or(|left| own < left) => {
                (now.checked_add(own).or(deadline), own, true)
            }
            _ => (deadline, left.unwrap_or_default(), false),
        };
        Self { until, timed_out: TimedOut { after, attempt } }
    }

    /// Tells those further in, unless the attempt ends with the head of a stream that may go on.
    pub(crate) fn tell(&self, request: &mut impl Call) {
        let streams = request.context().method().is_some_and(Method::streams_response);
        if let Some(until) = self.until
            && self.timed_out.attempt
            && !streams
        {
            change(request, |context| context.with_deadline(until));
        }
    }

    /// Ends the attempt when its time is over.
    #[inline]
    pub(crate) fn on<F>(self, attempt: F) -> Expiring<F, TimedOut, AsFailure> {
        let nobody = Request::new(Context::new(), ());
        Expiring::new(attempt, self.until, self.timed_out, AsFailure, nobody.stream_limit())
    }
}
