//! What a server is set to, and the functions around its calls.

use http::{HeaderMap, HeaderName};
use purlin_endpoint::{Code, Context, Error};
use std::{sync::Arc, time::Duration};

/// The longest message by default, either way: 4 MiB, as everywhere in gRPC.
pub(crate) const MESSAGE_LIMIT: usize = 4 << 20;

/// Shorter messages are not worth their compression.
pub(crate) const GZIP_FROM: usize = 1024;

type Before = dyn Fn(Context, &HeaderMap) -> Result<Context, Error> + Send + Sync;
type After = dyn Fn(&Context, &mut HeaderMap, &mut HeaderMap) + Send + Sync;
type ErrorHandler = dyn Fn(&Context, &Error) + Send + Sync;
type Finalizer = dyn Fn(&Context, Code) + Send + Sync;

#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) max_request_message: usize,
    pub(crate) max_response_message: usize,
    pub(crate) gzip: bool,
    pub(crate) gzip_from: usize,
    pub(crate) max_timeout: Option<Duration>,
    pub(crate) trust_callers: bool,
    pub(crate) request_id_name: HeaderName,
    pub(crate) criticality_name: HeaderName,
    pub(crate) before: Vec<Arc<Before>>,
    pub(crate) after: Vec<Arc<After>>,
    pub(crate) error_handlers: Vec<Arc<ErrorHandler>>,
    pub(crate) finalizers: Vec<Arc<Finalizer>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_request_message: MESSAGE_LIMIT,
            max_response_message: MESSAGE_LIMIT,
            gzip: false,
            gzip_from: GZIP_FROM,
            max_timeout: None,
            trust_callers: false,
            request_id_name: HeaderName::from_static("x-request-id"),
            criticality_name: HeaderName::from_static("x-criticality"),
            before: Vec::new(),
            after: Vec::new(),
            error_handlers: Vec::new(),
            finalizers: Vec::new(),
        }
    }
}

/// What is done once at the end of a call, whichever way it ends.
pub(crate) struct Finish {
    options: Arc<Options>,
    context: Context,
    done: bool,
}

impl Finish {
    pub(crate) fn new(options: Arc<Options>, context: Context) -> Self {
        Self { options, context, done: false }
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// The call went well.
    pub(crate) fn succeed(&mut self) {
        self.end(Code::Ok);
    }

    /// The call failed.
    pub(crate) fn fail(&mut self, error: &Error) {
        for handle in &self.options.error_handlers {
            handle(&self.context, error);
        }
        self.end(crate::status::code_to_send(error.code()));
    }

    fn end(&mut self, code: Code) {
        if !std::mem::replace(&mut self.done, true) {
            for finalize in &self.options.finalizers {
                finalize(&self.context, code);
            }
        }
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        // Nobody waits for this call any more.
        if !self.done && !self.options.finalizers.is_empty() {
            let _ = purlin_endpoint::catch_panic(|| self.end(Code::Cancelled));
        }
    }
}
