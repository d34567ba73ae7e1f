use crate::{CallLine, Fields, Level, Logger};
use purlin_endpoint::{
    ByCode, Call, Context, Error, Intercept, InterceptLayer, Intercepted, Layer, Notes, Observes,
};
use std::{convert::Infallible, fmt, mem, sync::Arc};

/// Writes one line for each call, when the call has ended: of a stream, when the stream has.
///
/// The line's message is `call`. Its fields are, each where it is known:
///
/// - `method`, as in `greeter.Greeter/Greeting`;
/// - `code`, as in `OK` or `INVALID_ARGUMENT`;
/// - `took_ms`, how long the call took, in milliseconds with three decimals;
/// - `peer`, the other side's address;
/// - `request_id`;
/// - `trace_id` and `span_id`, where the call stands in a trace when it comes to this layer: a layer
///   that begins a span belongs outside of this one;
/// - `attempt`, how many attempts came before this one, if any did;
/// - `attempts`, how many were made further in, if there was more than one;
/// - those of the request's own that you [choose](Self::fields);
/// - `error`, what the caller was told, and `cause`, what it was not.
///
/// Its level is error if the server is to blame, warn if the caller is, and info otherwise. A call
/// that was given up is `CANCELLED`, or `DEADLINE_EXCEEDED` if its deadline had passed.
///
/// A call without a peer is one that this process makes. If nobody reads its notes, the layer has
/// its attempts counted in them.
#[derive(Clone, Debug)]
pub struct LogLayer<C = ByCode, F = NoFields>(InterceptLayer<CallLog<C, F>, Observes>);

impl LogLayer {
    /// Writes lines about calls here.
    pub fn new(logger: Logger) -> Self {
        Self::of(CallLog { logger, classify: ByCode, fields: NoFields })
    }
}

impl<C, F> LogLayer<C, F> {
    fn of(log: CallLog<C, F>) -> Self {
        Self(InterceptLayer::observer(log))
    }
}

impl<C, F: Clone> LogLayer<C, F> {
    /// Judges outcomes by this instead of the code of a [`purlin_endpoint::Error`].
    pub fn classify<D>(self, classify: D) -> LogLayer<D, F> {
        let log = self.0.intercept();
        let (logger, fields) = (log.logger.clone(), log.fields.clone());
        LogLayer::of(CallLog { logger, classify, fields })
    }
}

impl<C: Clone, F> LogLayer<C, F> {
    /// Adds fields of the request to each line.
    ///
    /// ```
    /// use purlin_endpoint::Request;
    /// use purlin_log::{Fields, LogLayer, Logger};
    ///
    /// let log = LogLayer::new(Logger::default());
    /// let log = log.fields(|request: &Request<String>, fields: &mut Fields<'_>| {
    ///     fields.add("name", &request.message);
    /// });
    /// # let _ = log;
    /// ```
    ///
    /// They are written down when the call comes. This is then a layer for requests of that type
    /// only, while a layer without such fields is one for any.
    pub fn fields<G>(self, fields: G) -> LogLayer<C, G> {
        let log = self.0.intercept();
        let (logger, classify) = (log.logger.clone(), log.classify.clone());
        LogLayer::of(CallLog { logger, classify, fields })
    }
}

impl<C: Send + Sync + 'static, F: Send + Sync + 'static> LogLayer<C, F> {
    /// Writes the line of a call that its transport has refused before its endpoint was called.
    ///
    /// Such a call passes no layer. This is for a transport's `error_handler`; other errors, which
    /// have a line already, are passed over.
    pub fn uncalled(&self) -> impl Fn(&Context, &Error) + Clone + Send + Sync + use<C, F> {
        let log = self.0.intercept().clone();
        move |context, error| {
            if error.is_uncalled() && log.logger.enabled(Level::Error) {
                CallLine::refused(log.clone(), context, error);
            }
        }
    }
}

impl<C, F, S> Layer<S> for LogLayer<C, F> {
    type Service = Intercepted<CallLog<C, F>, Observes, S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(inner)
    }
}

/// Says which fields of a request its line has: [`NoFields`], or a function.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't choose fields of a request of type `{Req}`",
    note = "`.fields(…)` takes a function: `|request: &{Req}, fields: &mut Fields<'_>| …`"
)]
pub trait RequestFields<Req>: Send + Sync + 'static {
    /// Whether there is nothing to choose.
    const NONE: bool = false;

    /// Adds the fields of this request.
    fn choose(&self, request: &Req, fields: &mut Fields<'_>);
}

/// Chooses no field of any request.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFields;

impl<Req> RequestFields<Req> for NoFields {
    const NONE: bool = true;

    fn choose(&self, _: &Req, _: &mut Fields<'_>) {}
}

impl<Req, F> RequestFields<Req> for F
where
    F: Fn(&Req, &mut Fields<'_>) + Send + Sync + 'static,
{
    fn choose(&self, request: &Req, fields: &mut Fields<'_>) {
        self(request, fields);
    }
}

/// What all calls of a [`LogLayer`] share.
pub struct CallLog<C, F> {
    pub(crate) logger: Logger,
    pub(crate) classify: C,
    fields: F,
}

impl<C, F> fmt::Debug for CallLog<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallLog").field("logger", &self.logger).finish_non_exhaustive()
    }
}

impl<Req: Call, C, F: RequestFields<Req>> Intercept<Req> for CallLog<C, F> {
    type Guard = CallLine<C, F>;
    type Refusal = Infallible;

    fn before(self: &Arc<Self>, request: &mut Req) -> Result<Self::Guard, Infallible> {
        if !self.logger.enabled(Level::Error) {
            return Ok(CallLine::unwritten());
        }
        let context = request.context_mut();
        if context.peer().is_none() && !context.notes().is_open() {
            *context = mem::take(context).with_notes(Notes::counting());
        }
        let mut fields = Vec::new();
        if !F::NONE {
            self.logger.add(&mut fields, |chosen| self.fields.choose(request, chosen));
        }
        let started = request.started();
        Ok(CallLine::new(self.clone(), started, request.context(), fields))
    }

    fn name(&self) -> &'static str {
        "log"
    }
}
