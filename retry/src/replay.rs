/// Makes the request of a further attempt.
#[diagnostic::on_unimplemented(
    message = "requests of type `{Req}` can't be sent twice",
    note = "implement `Clone` for the message, or say how: `layer.replay(|request: &{Req}| …)`"
)]
pub trait Replay<Req>: Clone + Send + Sync + 'static {
    /// The same request once more, without the end of the caller's stream; `None` if there can be
    /// only one.
    fn replay(&self, request: &Req) -> Option<Req>;
}

/// Clones requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cloned;

impl<Req: Clone> Replay<Req> for Cloned {
    #[inline]
    fn replay(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
}

impl<Req, F> Replay<Req> for F
where
    F: Fn(&Req) -> Option<Req> + Clone + Send + Sync + 'static,
{
    fn replay(&self, request: &Req) -> Option<Req> {
        self(request)
    }
}
