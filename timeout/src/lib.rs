//! Time limits for calls.
//!
//! ```
//! use purlin_endpoint::{Code, Context, Endpoint as _, Error, endpoint_fn};
//! use purlin_timeout::Timeout;
//! use std::time::Duration;
//! use tower::ServiceBuilder;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), purlin_endpoint::Invalid> {
//! let slow = ServiceBuilder::new()
//!     .layer(Timeout::new(Duration::from_millis(250)).layer()?)
//!     .service(endpoint_fn(|_: Context, millis: u64| async move {
//!         tokio::time::sleep(Duration::from_millis(millis)).await;
//!         Ok::<_, Error>("done")
//!     }));
//!
//! assert!(slow.invoke(Context::default(), 10).await.is_ok());
//! let late = slow.invoke(Context::default(), 5000).await.unwrap_err();
//! assert_eq!((late.code(), late.message()), (Code::DeadlineExceeded, "no answer within 250ms"));
//! # Ok(())
//! # }
//! ```
//!
//! A call gets the limit or what is left until its context's deadline, whichever is less, counted
//! from where it reaches the layer; what lies further in finds that as its deadline. When the time
//! is over the call is dropped and refused with [`TimedOut`]. A call whose deadline has passed when
//! it comes is refused before the inner service is touched.
//!
//! The future of the call ends with the head of its response. A stream that goes on after that is
//! cut by the transports: a client's by the deadline that it finds in its context, a server's by
//! the nearest of those that came with the call or that a layer of its endpoint has set. Of a method
//! that is not declared as streaming a server knows only the first; and where an attempt was made
//! again, the stream of the later one is not cut by the layer.
//!
//! Clones of a layer share its limit, which a [`Handle`] changes; each call has its own time. It needs
//! a tokio runtime with its timer on.
//!
//! # Features
//!
//! - `serde`: reads and writes a [`Timeout`] as `{"limit": "250ms"}`.

mod handle;

pub use handle::Handle;

use purlin_endpoint::{
    Answer, AsError, AsResponse, Call, Code, Error, Expiring, Invalid, Layer, Service,
};
use std::{
    fmt, mem,
    task::{Context as Task, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Timeout {
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    limit: Duration,
}

impl Timeout {
    /// A call may take this long.
    pub const fn new(limit: Duration) -> Self {
        Self { limit }
    }

    /// Builds the layer.
    ///
    /// # Errors
    ///
    /// If the limit is zero, with which no call could succeed.
    pub fn layer(self) -> Result<TimeoutLayer, Invalid> {
        self.check()?;
        Ok(TimeoutLayer { handle: Handle::new(self), answer: AsError })
    }

    fn check(self) -> Result<(), Invalid> {
        if self.limit.is_zero() {
            return Err(Invalid { field: "limit", why: "must be more than zero" });
        }
        Ok(())
    }

    /// When a call that comes now must have ended, and what is said of it if it has not.
    fn admit(self, deadline: Option<Instant>, now: Instant) -> Result<Admitted, TimedOut> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now));
        match left {
            Some(Duration::ZERO) => Err(TimedOut { after: Duration::ZERO }),
            Some(left) if left <= self.limit => {
                Ok(Admitted { deadline, refusal: TimedOut { after: left } })
            }
            // A limit too far away to be told is none.
            _ => Ok(Admitted {
                deadline: now.checked_add(self.limit).or(deadline),
                refusal: TimedOut { after: self.limit },
            }),
        }
    }
}

/// 10 s: longer than a caller waits who is not a machine.
impl Default for Timeout {
    fn default() -> Self {
        Self::new(Duration::from_secs(10))
    }
}

#[derive(Debug, PartialEq)]
struct Admitted {
    deadline: Option<Instant>,
    refusal: TimedOut,
}

/// Limits the time of the calls that it wraps.
///
/// `A` says how a refusal becomes the outcome: an error, or what [`respond`](Self::respond) makes.
#[derive(Clone, Debug)]
pub struct TimeoutLayer<A = AsError> {
    handle: Handle,
    answer: A,
}

impl<A> TimeoutLayer<A> {
    /// Answers a call whose time is over with a response instead of an error.
    pub fn respond<F>(self, respond: F) -> TimeoutLayer<AsResponse<F>> {
        TimeoutLayer { handle: self.handle, answer: AsResponse::new(respond) }
    }

    /// Reads and changes the limit while calls run.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl<A: Clone, S> Layer<S> for TimeoutLayer<A> {
    type Service = Timed<S, A>;

    fn layer(&self, inner: S) -> Timed<S, A> {
        Timed { handle: self.handle.clone(), answer: self.answer.clone(), inner }
    }
}

/// A service whose calls have a limited time.
#[derive(Clone, Debug)]
pub struct Timed<S, A = AsError> {
    handle: Handle,
    answer: A,
    inner: S,
}

impl<S, A, Req> Service<Req> for Timed<S, A>
where
    S: Service<Req>,
    A: Answer<TimedOut, S::Response, S::Error> + Clone,
    Req: Call,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Expiring<S::Future, TimedOut, A>;

    #[inline]
    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let known = request.context().deadline();
        // The clock is read here and not taken from the call's start: an attempt has the time from
        // now on, and what has waited further out may have waited too long.
        let admitted = match self.handle.config().admit(known, Instant::now()) {
            Ok(admitted) => admitted,
            Err(refusal) => return Expiring::expired(refusal, self.answer.clone()),
        };
        if let Some(deadline) = admitted.deadline
            && admitted.deadline != known
        {
            let context = request.context_mut();
            *context = mem::take(context).with_deadline(deadline);
        }
        let limit = request.stream_limit();
        let inner = self.inner.call(request);
        Expiring::new(inner, admitted.deadline, admitted.refusal, self.answer.clone(), limit)
    }
}

/// The call took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut {
    /// How long it had: zero if its deadline had passed when it came, and then nothing was done.
    pub after: Duration,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.after.is_zero() {
            return f.write_str("the deadline had passed before the call");
        }
        write!(f, "no answer within {:?}", self.after)
    }
}

impl std::error::Error for TimedOut {}

impl From<TimedOut> for Error {
    fn from(timed_out: TimedOut) -> Self {
        let error = Self::new(Code::DeadlineExceeded, timed_out);
        if timed_out.after.is_zero() { error.unreached() } else { error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_call_gets_the_limit_or_what_is_left_whichever_is_less() {
        let now = Instant::now();
        let timeout = Timeout::new(2 * SECOND);
        let admitted = |deadline, after| Ok(Admitted { deadline, refusal: TimedOut { after } });
        assert_eq!(timeout.admit(None, now), admitted(Some(now + 2 * SECOND), 2 * SECOND));
        let (near, far) = (Some(now + SECOND), Some(now + 3 * SECOND));
        assert_eq!(timeout.admit(near, now), admitted(near, SECOND));
        assert_eq!(timeout.admit(far, now), admitted(Some(now + 2 * SECOND), 2 * SECOND));
    }

    #[test]
    fn a_call_whose_deadline_has_passed_is_not_let_in() {
        let now = Instant::now();
        let refused = Err(TimedOut { after: Duration::ZERO });
        assert_eq!(Timeout::new(SECOND).admit(Some(now), now), refused);
        assert_eq!(Timeout::new(SECOND).admit(Some(now), now + SECOND), refused);
    }

    #[test]
    fn a_limit_too_far_away_to_be_told_leaves_the_deadline_as_it_is() {
        let (now, timeout) = (Instant::now(), Timeout::new(Duration::MAX));
        assert_eq!(timeout.admit(None, now).unwrap().deadline, None);
        let deadline = Some(now + SECOND);
        assert_eq!(timeout.admit(deadline, now).unwrap().deadline, deadline);
    }

    #[test]
    fn a_limit_of_nothing_is_a_mistake_that_names_its_field() {
        assert_eq!(Timeout::new(Duration::ZERO).layer().unwrap_err().field, "limit");
        assert!(Timeout::default().layer().is_ok());
    }
}
