use crate::{
    Format, Level, Logger,
    format::{Key, millis},
};
use purlin_endpoint::{
    BoxError, ByCode, Call, Classify, Code, Context, End, Error, Guard, How, Intercept,
    InterceptLayer, Intercepted, Layer, Observes, Verdict,
};
use std::{any::Any, convert::Infallible, fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Writes one line for each call, when the call has ended: of a stream, when the stream has.
///
/// The line's message is `call`. Its fields are, each where it is known:
///
/// - `method`, as in `greeter.Greeter/Greeting`;
/// - `code`, as in `OK` or `INVALID_ARGUMENT`;
/// - `took_ms`, how long the call took, in milliseconds with three decimals;
/// - `peer`, the other side's address;
/// - `request_id`;
/// - `attempt`, how many attempts came before this one, if any did;
/// - `error`, what the caller was told, and `cause`, what it was not.
///
/// Its level is error if the server is to blame, warn if the caller is, and info otherwise. A call
/// that was given up is `CANCELLED`, or `DEADLINE_EXCEEDED` if its deadline had passed.
#[derive(Clone, Debug)]
pub struct LogLayer<C = ByCode>(InterceptLayer<CallLog<C>, Observes>);

impl LogLayer {
    /// Writes lines about calls here.
    pub fn new(logger: Logger) -> Self {
        Self(InterceptLayer::observer(CallLog { logger, classify: ByCode }))
    }
}

impl<C> LogLayer<C> {
    /// Judges outcomes by this instead of the code of a [`purlin_endpoint::Error`].
    pub fn classify<D>(self, classify: D) -> LogLayer<D> {
        let logger = self.0.intercept().logger.clone();
        LogLayer(InterceptLayer::observer(CallLog { logger, classify }))
    }
}

impl<C: Send + Sync + 'static> LogLayer<C> {
    /// Writes the line of a call that its transport has refused before its endpoint was called.
    ///
    /// Such a call passes no layer. This is for a transport's `error_handler`; other errors, which
    /// have a line already, are passed over.
    pub fn uncalled(&self) -> impl Fn(&Context, &Error) + Clone + Send + Sync + use<C> {
        let log = self.0.intercept().clone();
        move |context, error| {
            if error.is_uncalled() && log.logger.enabled(Level::Error) {
                let mut line = Known::new(log.clone(), Instant::now(), context);
                line.verdict = Verdict::of(error.code());
                line.failure = Some(Failure::of(error));
                line.write(Duration::ZERO);
            }
        }
    }
}

impl<C, S> Layer<S> for LogLayer<C> {
    type Service = Intercepted<CallLog<C>, Observes, S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(inner)
    }
}

/// What all calls of a [`LogLayer`] share.
pub struct CallLog<C> {
    logger: Logger,
    classify: C,
}

impl<C> fmt::Debug for CallLog<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallLog").field("logger", &self.logger).finish_non_exhaustive()
    }
}

impl<Req: Call, C> Intercept<Req> for CallLog<C> {
    type Guard = CallLine<C>;
    type Refusal = Infallible;

    fn before(self: &Arc<Self>, request: &mut Req) -> Result<Self::Guard, Infallible> {
        Ok(CallLine(self.logger.enabled(Level::Error).then(|| {
            let started = request.started();
            Known::new(self.clone(), started, request.context())
        })))
    }
}

/// The line of a call that has not ended yet; `None` if nothing at all is written just now.
pub struct CallLine<C>(Option<Known<C>>);

/// What is known of a call before its end.
struct Known<C> {
    log: Arc<CallLog<C>>,
    started: Instant,
    context: Context,
    verdict: Verdict,
    failure: Option<Box<Failure>>,
}

/// Makes the key of a field. It needs no escape in any format.
macro_rules! key {
    ($name:literal) => {
        Key { plain: concat!(" ", $name, "="), json: concat!(",\"", $name, "\":") }
    };
}

impl<C> Known<C> {
    fn new(log: Arc<CallLog<C>>, started: Instant, context: &Context) -> Self {
        Self { log, started, context: context.clone(), verdict: Verdict::OK, failure: None }
    }

    fn write(&self, took: Duration) {
        let line = self.log.logger.line(level(self.verdict), "call");
        line.write(|format, out| self.fields(format, out, took)).send();
    }

    /// Writes what is safe as it is without looking at it again.
    fn fields(&self, format: Format, out: &mut Vec<u8>, took: Duration) {
        if let Some(method) = self.context.method() {
            format.known_key(out, key!("method"));
            format.method(out, method);
        }
        format.known_key(out, key!("code"));
        let code = self.verdict.code.as_str();
        format.known(out, |out| out.extend_from_slice(code.as_bytes()));
        format.known_key(out, key!("took_ms"));
        millis(out, took);
        if let Some(peer) = self.context.peer() {
            format.known_key(out, key!("peer"));
            format.peer(out, peer);
        }
        if let Some(id) = self.context.request_id() {
            format.known_key(out, key!("request_id"));
            format.known(out, |out| out.extend_from_slice(id.as_bytes()));
        }
        if self.context.attempt() > 0 {
            format.known_key(out, key!("attempt"));
            format.value(out, self.context.attempt().into());
        }
        if let Some(failure) = &self.failure {
            format.known_key(out, key!("error"));
            format.value(out, failure.error.as_str().into());
            if let Some(cause) = failure.cause() {
                format.known_key(out, key!("cause"));
                format.value(out, cause.into());
            }
        }
    }
}

/// The level of a line about a call with this verdict.
fn level(verdict: Verdict) -> Level {
    match verdict.code {
        _ if verdict.failed => Level::Error,
        Code::Ok | Code::Cancelled => Level::Info,
        _ => Level::Warn,
    }
}

impl<C, Res, Err> Guard<Res, Err> for CallLine<C>
where
    C: Classify<Res, Err>,
    Err: fmt::Display + 'static,
{
    fn response(&mut self, outcome: &mut Result<Res, Err>) {
        let Some(line) = &mut self.0 else { return };
        line.verdict = line.log.classify.classify(outcome);
        line.failure = outcome.as_ref().err().map(Failure::of);
    }

    fn end(self, end: End<'_>) {
        let Some(mut line) = self.0 else { return };
        match end.how() {
            How::Returned | How::Streamed(Ok(())) => {}
            How::Streamed(Err(error)) => {
                line.verdict = Verdict::of(error.code());
                line.failure = Some(Failure::of(error));
            }
            How::Dropped => {
                let late = line
                    .context
                    .deadline()
                    .is_some_and(|deadline| deadline <= end.at(line.started));
                let code = if late { Code::DeadlineExceeded } else { Code::Cancelled };
                line.verdict = Verdict::of(code);
            }
            How::Panicked => {
                line.verdict = Verdict { code: Code::Internal, failed: true };
                line.failure = Some(Failure::panicked());
            }
        }
        line.write(end.took(line.started));
    }
}

impl<C> fmt::Debug for CallLine<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallLine").finish_non_exhaustive()
    }
}

/// The text of an error, and the same with its causes.
struct Failure {
    error: String,
    full: String,
}

impl Failure {
    /// An error shows its causes where it is displayed with `{:#}`; one in a box can be asked.
    fn of<Err: fmt::Display + 'static>(error: &Err) -> Box<Self> {
        let (said, mut full) = (error.to_string(), format!("{error:#}"));
        if said == full
            && let Some(boxed) = (error as &dyn Any).downcast_ref::<BoxError>()
            && !boxed.is::<Error>()
        {
            let mut next = boxed.source();
            while let Some(cause) = next {
                full = format!("{full}: {cause}");
                next = cause.source();
            }
        }
        Box::new(Self { error: said, full })
    }

    fn panicked() -> Box<Self> {
        Box::new(Self { error: "panicked".into(), full: String::new() })
    }

    fn cause(&self) -> Option<&str> {
        let cause = self.full.strip_prefix(&*self.error)?;
        Some(cause.strip_prefix(": ")?).filter(|cause| !cause.is_empty())
    }
}
