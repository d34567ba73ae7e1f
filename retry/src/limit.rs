//! What retries and hedges do alike: know a repeated call, mark one, and limit an attempt.

use crate::{TimedOut, failure::AsFailure};
use purlin_endpoint::{Call, Context, Expiring, Method, Request, StreamLimit, Tried};
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

/// Has a balancer further in note where each attempt goes, also one that is cut off or that others
/// are made beside: the next goes elsewhere.
pub(crate) fn note_picks(request: &mut impl Call) {
    if request.context().get::<Tried>().is_none() {
        change(request, |context| context.with(Tried::default()));
    }
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
    stream: StreamLimit,
}

impl Limit {
    /// The limit of an attempt that begins now, in a call with this deadline and with this time of
    /// its own. Those further in are told.
    #[inline]
    pub(crate) fn of(
        request: &mut impl Call,
        deadline: Option<Instant>,
        own: Option<Duration>,
    ) -> Self {
        let stream = request.stream_limit();
        if deadline.is_none() && own.is_none() {
            let timed_out = TimedOut { after: Duration::ZERO, attempt: false };
            return Self { until: None, timed_out, stream };
        }
        // A first attempt without a time of its own began with its call, as far as it matters.
        let now = if own.is_some() { Instant::now() } else { request.started() };
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now));
        let Some(own) = own.filter(|own| left.is_none_or(|left| *own < left)) else {
            let timed_out = TimedOut { after: left.unwrap_or_default(), attempt: false };
            return Self { until: deadline, timed_out, stream };
        };
        // A time too far away to be told is none.
        let until = now.checked_add(own).or(deadline);
        let streams = request.context().method().is_some_and(Method::streams_response);
        if let Some(until) = until
            && !streams
        {
            change(request, |context| context.with_deadline(until));
        }
        // An attempt has ended with the head of its stream, which may go on.
        let stream = Request::new(Context::new(), ()).stream_limit();
        Self { until, timed_out: TimedOut { after: own, attempt: true }, stream }
    }

    /// Ends the attempt when its time is over.
    #[inline]
    pub(crate) fn on<F>(self, attempt: F) -> Expiring<F, TimedOut, AsFailure> {
        Expiring::new(attempt, self.until, self.timed_out, AsFailure, self.stream)
    }
}
