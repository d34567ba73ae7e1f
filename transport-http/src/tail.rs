use crate::options::Options;
use crate::status::client_closed_request;
use http::{HeaderMap, StatusCode};
use purlin_endpoint::{Context, Error, catch_panic};
use std::sync::Arc;

/// What became of an exchange, when its last byte has been handed to the connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finished {
    /// The status that was sent; 499 if the caller left before there was one.
    pub status: StatusCode,
    /// The headers that were sent.
    pub headers: HeaderMap,
    /// How many bytes of the body were sent.
    pub bytes_sent: u64,
    /// Whether the body was sent to its end.
    pub complete: bool,
}

/// The end of an exchange: tells the error handlers of a stream that breaks off, and runs the
/// finalizers when it is dropped at the latest.
pub(crate) struct Tail {
    options: Arc<Options>,
    pub(crate) context: Context,
    finished: Finished,
}

impl Tail {
    pub(crate) fn new(options: Arc<Options>, context: Context) -> Self {
        let finished = Finished {
            status: client_closed_request(),
            headers: HeaderMap::new(),
            bytes_sent: 0,
            complete: false,
        };
        Self { options, context, finished }
    }

    pub(crate) fn head(&mut self, status: StatusCode, headers: &HeaderMap) {
        if !self.options.finalizers.is_empty() {
            self.finished.status = status;
            self.finished.headers = headers.clone();
        }
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.finished.bytes_sent += bytes as u64;
    }

    pub(crate) fn finish(&mut self, result: Result<(), &Error>) {
        match result {
            Ok(()) => self.finished.complete = true,
            Err(error) => {
                // A handler that panics must not take the connection with it.
                let _ = catch_panic(|| self.options.report(&self.context, error));
            }
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        for finalizer in &self.options.finalizers {
            let _ = catch_panic(|| finalizer(&self.context, &self.finished));
        }
    }
}
