//! What the caller gets when a call is refused.

use std::{convert::Infallible, fmt};

/// Turns a refusal into what the caller gets.
#[diagnostic::on_unimplemented(
    message = "a refusal `{Refusal}` can't be answered with `Result<{Res}, {Err}>`",
    note = "implement `From<{Refusal}>` for `{Err}`, or answer with a response: `layer.respond(|refusal| …)`"
)]
pub trait Answer<Refusal, Res, Err> {
    /// The outcome of a call that was refused.
    fn answer(&self, refusal: Refusal) -> Result<Res, Err>;
}

/// Refuses with an error, made from the refusal by [`From`].
#[derive(Clone, Copy, Debug, Default)]
pub struct AsError;

impl<Refusal, Res, Err: From<Refusal>> Answer<Refusal, Res, Err> for AsError {
    fn answer(&self, refusal: Refusal) -> Result<Res, Err> {
        Err(refusal.into())
    }
}

/// Refuses with a response, made from the refusal by a function.
#[derive(Clone, Copy)]
pub struct AsResponse<F>(F);

impl<F: Fn(Refusal) -> Res, Refusal, Res, Err> Answer<Refusal, Res, Err> for AsResponse<F> {
    fn answer(&self, refusal: Refusal) -> Result<Res, Err> {
        Ok((self.0)(refusal))
    }
}

impl<F> AsResponse<F> {
    /// Refuses with what this function makes of the refusal.
    pub fn new(respond: F) -> Self {
        Self(respond)
    }
}

impl<F> fmt::Debug for AsResponse<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsResponse")
    }
}

/// Never refuses: for those that only observe, around services with any error.
#[derive(Clone, Copy, Debug, Default)]
pub struct Observes;

impl<Res, Err> Answer<Infallible, Res, Err> for Observes {
    fn answer(&self, refusal: Infallible) -> Result<Res, Err> {
        match refusal {}
    }
}
