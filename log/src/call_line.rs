use crate::{
    CallLog, Format, Level,
    format::{Key, millis},
};
use purlin_endpoint::{
    Attempts, BoxError, Classify, Code, Context, End, Error, Guard, How, Verdict,
};
use std::{any::Any, fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The line of a call that has not ended yet.
pub struct CallLine<C, F>(Option<Known<C, F>>);

/// What is known of a call before its end.
struct Known<C, F> {
    log: Arc<CallLog<C, F>>,
    started: Instant,
    context: Context,
    /// What was chosen of the request.
    chosen: Vec<u8>,
    verdict: Verdict,
    failure: Option<Box<Failure>>,
}

impl<C, F> CallLine<C, F> {
    pub(crate) fn new(
        log: Arc<CallLog<C, F>>,
        started: Instant,
        context: &Context,
        chosen: Vec<u8>,
    ) -> Self {
        let (context, verdict) = (context.clone(), Verdict::OK);
        Self(Some(Known { log, started, context, chosen, verdict, failure: None }))
    }

    /// That of a call while nothing at all is written.
    pub(crate) const fn unwritten() -> Self {
        Self(None)
    }

    /// Writes the line of a call that was refused with this error before it got anywhere.
    pub(crate) fn refused(log: Arc<CallLog<C, F>>, context: &Context, error: &Error) {
        let line = Self::new(log, Instant::now(), context, Vec::new());
        if let Some(mut known) = line.0 {
            known.fail(error);
            known.write(Duration::ZERO);
        }
    }
}

/// Makes the key of a field. It needs no escape in any format.
macro_rules! key {
    ($name:literal) => {
        Key { plain: concat!(" ", $name, "="), json: concat!(",\"", $name, "\":") }
    };
}

impl<C, F> Known<C, F> {
    fn fail(&mut self, error: &Error) {
        self.verdict = Verdict::of(error.code());
        self.failure = Some(Failure::of(error));
    }

    fn write(&self, took: Duration) {
        let code = self.verdict.code.as_str();
        let (service, name) =
            self.context.method().map_or(("", ""), |method| (method.service(), method.name()));
        let line = self.log.logger.line_of(level(self.verdict), &["call", service, name, code]);
        line.write(|format, out| self.fields(format, out, took)).send();
    }

    /// Writes what is safe as it is without looking at it again.
    fn fields(&self, format: Format, out: &mut Vec<u8>, took: Duration) {
        let context = &self.context;
        if let Some(method) = context.method() {
            format.known_key(out, key!("method"));
            format.method(out, method);
        }
        format.known_key(out, key!("code"));
        let code = self.verdict.code.as_str();
        format.known(out, |out| out.extend_from_slice(code.as_bytes()));
        format.known_key(out, key!("took_ms"));
        millis(out, took);
        if let Some(peer) = context.peer() {
            format.known_key(out, key!("peer"));
            format.peer(out, peer);
        }
        if let Some(id) = context.request_id() {
            format.known_key(out, key!("request_id"));
            format.known(out, |out| out.extend_from_slice(id.as_bytes()));
        }
        if let Some(trace) = context.trace() {
            format.known_key(out, key!("trace_id"));
            format.known(out, |out| out.extend_from_slice(&trace.trace_id().hex()));
            format.known_key(out, key!("span_id"));
            format.known(out, |out| out.extend_from_slice(&trace.span_id().hex()));
        }
        if context.attempt() > 0 {
            format.known_key(out, key!("attempt"));
            format.value(out, context.attempt().into());
        }
        let told = self.failure.as_ref().map_or(0, |failure| failure.attempts);
        let attempts = told.max(context.notes().attempts() as usize);
        if attempts > 1 {
            format.known_key(out, key!("attempts"));
            format.value(out, attempts.into());
        }
        out.extend_from_slice(&self.chosen);
        if let Some(failure) = &self.failure {
            failure.fields(format, out);
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

impl<C, F, Res, Err> Guard<Res, Err> for CallLine<C, F>
where
    C: Classify<Res, Err>,
    F: Send + Sync + 'static,
    Err: fmt::Display + 'static,
{
    fn response(&mut self, outcome: &mut Result<Res, Err>) {
        let Some(line) = &mut self.0 else { return };
        line.verdict = line.log.classify.classify(outcome);
        line.failure = outcome.as_ref().err().map(Failure::of);
    }

    fn end(self, end: End<'_>) {
        let Some(mut line) = self.0 else { return };
        line.verdict = end.verdict(line.verdict, line.started, line.context.deadline());
        match end.how() {
            How::Streamed(Err(error)) => line.failure = Some(Failure::of(error)),
            How::Panicked => line.failure = Some(Failure::panicked()),
            _ => {}
        }
        line.write(end.took(line.started));
    }
}

impl<C, F> fmt::Debug for CallLine<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallLine").finish_non_exhaustive()
    }
}

/// What an error says.
struct Failure {
    error: String,
    /// The same with its causes.
    full: String,
    /// How many attempts it tells of.
    attempts: usize,
}

impl Failure {
    /// An error shows its causes where it is displayed with `{:#}`; one in a box can be asked.
    fn of<Err: fmt::Display + 'static>(error: &Err) -> Box<Self> {
        let (said, mut full) = (error.to_string(), format!("{error:#}"));
        let any = error as &dyn Any;
        let boxed = any.downcast_ref::<BoxError>();
        let ours = any.downcast_ref().or_else(|| boxed?.downcast_ref::<Error>());
        if said == full
            && ours.is_none()
            && let Some(boxed) = boxed
        {
            let mut next = boxed.source();
            while let Some(cause) = next {
                full = format!("{full}: {cause}");
                next = cause.source();
            }
        }
        let attempts = ours.and_then(Error::find::<Attempts>).map_or(0, Attempts::made);
        Box::new(Self { error: said, full, attempts })
    }

    fn panicked() -> Box<Self> {
        Box::new(Self { error: "panicked".into(), full: String::new(), attempts: 0 })
    }

    fn cause(&self) -> Option<&str> {
        let cause = self.full.strip_prefix(&*self.error)?;
        Some(cause.strip_prefix(": ")?).filter(|cause| !cause.is_empty())
    }

    fn fields(&self, format: Format, out: &mut Vec<u8>) {
        format.known_key(out, key!("error"));
        format.value(out, self.error.as_str().into());
        if let Some(cause) = self.cause() {
            format.known_key(out, key!("cause"));
            format.value(out, cause.into());
        }
    }
}
