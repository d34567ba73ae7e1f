use http::{HeaderMap, StatusCode};
use purlin_endpoint::{Context, Error, catch_panic};
use std::sync::Arc;

/// What became of an exchange, when its last byte has been handed on.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Finished {
    /// The status of the response; `None` if there was none, as when a caller left before it.
    pub status: Option<StatusCode>,
    /// The headers of the response.
    pub headers: HeaderMap,
    /// How many bytes of the response's body a server has sent, or a client received.
    pub bytes: u64,
    /// Whether the response's body was sent or received to its end.
    pub complete: bool,
}

type ErrorHandler = Arc<dyn Fn(&Context, &Error) + Send + Sync>;
type Finalizer = Arc<dyn Fn(&Context, &Finished) + Send + Sync>;

/// Who is told of errors and ends.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) error_handlers: Vec<ErrorHandler>,
    pub(crate) finalizers: Vec<Finalizer>,
}

impl Hooks {
    pub(crate) fn report(&self, context: &Context, error: &Error) {
        for handler in &self.error_handlers {
            handler(context, error);
        }
    }
}

/// The end of an exchange: tells the error handlers of a stream that breaks off, and runs the
/// finalizers when it is dropped at the latest.
pub(crate) struct Tail {
    hooks: Arc<Hooks>,
    pub(crate) context: Context,
    finished: Finished,
}

impl Tail {
    pub(crate) fn new(hooks: Arc<Hooks>, context: Context) -> Box<Self> {
        Box::new(Self { hooks, context, finished: Finished::default() })
    }

    pub(crate) fn head(&mut self, status: StatusCode, headers: &HeaderMap) {
        if !self.hooks.finalizers.is_empty() {
            self.finished.status = Some(status);
            self.finished.headers = headers.clone();
        }
    }

    pub(crate) fn moved(&mut self, bytes: usize) {
        self.finished.bytes += bytes as u64;
    }

    pub(crate) fn finish(&mut self, result: Result<(), &Error>) {
        match result {
            Ok(()) => self.finished.complete = true,
            Err(error) => {
                // A handler that panics must not take the connection with it.
                let _ = catch_panic(|| self.hooks.report(&self.context, error));
            }
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        for finalizer in &self.hooks.finalizers {
            let _ = catch_panic(|| finalizer(&self.context, &self.finished));
        }
    }
}
