use crate::{BoxError, Code, Error};
use std::time::Duration;

/// What an outcome was: its code, and whether the server is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The code to show.
    pub code: Code,
    /// Whether it counts as a failure of the one who served it.
    pub failed: bool,
}

impl Verdict {
    /// A success.
    pub const OK: Self = Self::of(Code::Ok);

    /// What this code says by itself.
    pub const fn of(code: Code) -> Self {
        Self { code, failed: code.is_fault() }
    }
}

/// Says what an outcome was, for all layers alike: breaker, retry, metrics, log, balancer.
///
/// The default is [`ByCode`]. Where a response can carry a failure of the business, give the layer
/// a function: `layer.classify(|outcome: &Result<Reply, Error>| …)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't say what became of a call that returns `Result<{Res}, {Err}>`",
    note = "`ByCode` knows `purlin_endpoint::Error` and `BoxError`; for others, `.classify(…)` takes a function from the outcome to a `Verdict`, and the feature `http` has `ByStatus` and `ByGrpcStatus`"
)]
pub trait Classify<Res, Err>: Send + Sync + 'static {
    /// What this outcome was.
    fn classify(&self, outcome: &Result<Res, Err>) -> Verdict;

    /// How long a response asks to wait before another attempt. An [`Error`] says so itself.
    fn delay(&self, response: &Res) -> Option<Duration> {
        let _ = response;
        None
    }
}

/// Every `Ok` is a success, and an error is what its [`Code`] says.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByCode;

impl<Res> Classify<Res, Error> for ByCode {
    #[inline]
    fn classify(&self, outcome: &Result<Res, Error>) -> Verdict {
        outcome.as_ref().map_or_else(|error| Verdict::of(error.code()), |_| Verdict::OK)
    }
}

/// An [`Error`] in the box is what its code says; anything else is internal.
impl<Res> Classify<Res, BoxError> for ByCode {
    fn classify(&self, outcome: &Result<Res, BoxError>) -> Verdict {
        outcome.as_ref().map_or_else(
            |error| Verdict::of(error.downcast_ref::<Error>().map_or(Code::Internal, Error::code)),
            |_| Verdict::OK,
        )
    }
}

impl<Res, Err, F> Classify<Res, Err> for F
where
    F: Fn(&Result<Res, Err>) -> Verdict + Send + Sync + 'static,
{
    fn classify(&self, outcome: &Result<Res, Err>) -> Verdict {
        self(outcome)
    }
}
