use crate::{
    Side, Tracer, Value, id,
    propagation::Undecided,
    record::{Failure, Place, Record},
    span::Attribute,
};
use purlin_endpoint::{
    ByCode, Call, Classify, Context, End, Guard, How, Intercept, InterceptLayer, Intercepted,
    Layer, Notes, Observes, SpanId, TraceId, Verdict,
};
use std::{borrow::Cow, convert::Infallible, fmt, mem, sync::Arc};

/// Makes one span for each call that is recorded, from its start to its end: of a stream, to the
/// end of the stream.
#[derive(Clone, Debug)]
pub struct TracingLayer<C = ByCode>(InterceptLayer<CallTracing<C>, Observes>);

impl TracingLayer {
    /// Makes spans of calls that are answered here.
    pub fn server(tracer: &Tracer) -> Self {
        Self::new(tracer, Side::Server)
    }

    /// Makes spans of calls that are made here.
    ///
    /// Around a layer that repeats calls it makes a span of the whole call; within it, one of each
    /// attempt.
    pub fn client(tracer: &Tracer) -> Self {
        Self::new(tracer, Side::Client)
    }

    fn new(tracer: &Tracer, side: Side) -> Self {
        Self::of(CallTracing {
            tracer: tracer.clone(),
            side,
            setup: Setup::default(),
            classify: ByCode,
        })
    }
}

impl<C> TracingLayer<C> {
    /// Judges outcomes by this instead of the code of a [`purlin_endpoint::Error`].
    ///
    /// A response that it judges to be something else than a success is marked as a failure of the
    /// business.
    pub fn classify<D>(self, classify: D) -> TracingLayer<D> {
        let CallTracing { tracer, side, setup, .. } = &**self.0.intercept();
        let (tracer, setup) = (tracer.clone(), setup.clone());
        TracingLayer::of(CallTracing { tracer, side: *side, setup, classify })
    }

    fn of(tracing: CallTracing<C>) -> Self {
        Self(InterceptLayer::observer(tracing))
    }
}

impl<C: Clone> TracingLayer<C> {
    /// Names spans by this instead of their method in full.
    #[must_use]
    pub fn name<N>(self, name: impl Fn(&Context) -> N + Send + Sync + 'static) -> Self
    where
        N: Into<Cow<'static, str>>,
    {
        self.set(|setup| setup.name = Some(Arc::new(move |context| name(context).into())))
    }

    /// Says this of every call, as in [`rpc.system.name`](crate::semconv::RPC_SYSTEM_NAME).
    #[must_use]
    pub fn attribute(self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        let attribute = (name.into(), value.into());
        self.set(|setup| Arc::make_mut(setup.attributes.get_or_insert_default()).push(attribute))
    }

    /// Says of a call what this finds in its context.
    #[must_use]
    pub fn attributes<I>(self, find: impl Fn(&Context) -> I + Send + Sync + 'static) -> Self
    where
        I: IntoIterator<Item = Attribute>,
    {
        self.set(|setup| {
            setup.find = Some(Arc::new(move |context| find(context).into_iter().collect()));
        })
    }

    /// Begins a trace with each call, linked to its caller's, since callers are strangers who
    /// shall neither choose ids here nor what is recorded.
    #[must_use]
    pub fn public(self) -> Self {
        self.set(|setup| setup.public = true)
    }

    fn set(self, set: impl FnOnce(&mut Setup)) -> Self {
        let CallTracing { tracer, side, setup, classify } = &**self.0.intercept();
        let mut setup = setup.clone();
        set(&mut setup);
        let (tracer, classify) = (tracer.clone(), classify.clone());
        Self::of(CallTracing { tracer, side: *side, setup, classify })
    }
}

impl<C, S> Layer<S> for TracingLayer<C> {
    type Service = Intercepted<CallTracing<C>, Observes, S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(inner)
    }
}

/// What all calls of a [`TracingLayer`] share.
pub struct CallTracing<C> {
    tracer: Tracer,
    side: Side,
    setup: Setup,
    classify: C,
}

#[derive(Clone, Default)]
struct Setup {
    name: Option<Arc<Naming>>,
    attributes: Option<Arc<Vec<Attribute>>>,
    find: Option<Arc<Finding>>,
    public: bool,
}

type Naming = dyn Fn(&Context) -> Cow<'static, str> + Send + Sync;
type Finding = dyn Fn(&Context) -> Vec<Attribute> + Send + Sync;

impl<C> fmt::Debug for CallTracing<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallTracing")
            .field("tracer", &self.tracer)
            .field("side", &self.side)
            .finish_non_exhaustive()
    }
}

impl<Req: Call, C> Intercept<Req> for CallTracing<C> {
    type Guard = CallSpan<C>;
    type Refusal = Infallible;

    #[inline]
    fn before(self: &Arc<Self>, request: &mut Req) -> Result<CallSpan<C>, Infallible> {
        let recorded = self.place(request).map(|place| (self.clone(), self.record(request, place)));
        Ok(CallSpan {
            recorded,
            #[cfg(feature = "tracing")]
            scope: scope(request.context()),
        })
    }

    fn name(&self) -> &'static str {
        "tracing"
    }
}

impl<C> CallTracing<C> {
    /// Where the call's span stands, if it is recorded. Its context knows afterwards either way.
    #[inline]
    fn place(&self, request: &mut impl Call) -> Option<Place> {
        let known = request.context().trace();
        let known = if self.setup.public { None } else { known };
        let Some(known) = known else { return self.root(request) };
        let (trace, parent, recorded) = (known.trace_id(), known.span_id(), known.is_sampled());
        let undecided = !recorded && is_undecided(request.context(), parent);
        let sampled = self.decide(trace, (!undecided).then_some(recorded), request);
        if !(sampled || recorded || undecided) {
            // Nothing is to be said of it, and nobody will look for it.
            return None;
        }
        let trace = request.context().trace()?.child(id::span()).sampled(sampled);
        change(request, |context| context.with_trace(trace.clone()));
        sampled.then_some(Place { trace, parent: Some(parent), link: None })
    }

    /// The call is the first of its trace.
    fn root(&self, request: &mut impl Call) -> Option<Place> {
        let trace = id::root();
        let sampled = self.decide(trace.trace_id(), None, request);
        let trace = trace.sampled(sampled);
        let link = if sampled { request.context().trace().cloned() } else { None };
        change(request, |context| context.with_trace(trace.clone()));
        sampled.then_some(Place { trace, parent: None, link })
    }

    #[inline]
    fn decide(&self, trace: TraceId, parent: Option<bool>, request: &mut impl Call) -> bool {
        let tracer = &*self.tracer.0;
        tracer.sampler.decide(trace, parent, || tracer.age(request.started()))
    }

    fn record(&self, request: &mut impl Call, place: Place) -> Box<Record> {
        let started = request.started();
        let context = request.context();
        let mut record = Box::new(Record::new(self.side, place, context, started));
        record.name = self.setup.name.as_ref().map(|name| name(context));
        record.attributes = self.setup.attributes.clone();
        record.found = self.setup.find.as_ref().map(|find| find(context)).unwrap_or_default();
        // Who reads them already is told all that the layers further in will say.
        if self.side == Side::Client && !context.notes().is_open() {
            record.notes = Notes::open();
            change(request, |context| context.with_notes(record.notes.clone()));
        }
        record
    }
}

fn is_undecided(context: &Context, parent: SpanId) -> bool {
    context.get::<Undecided>().is_some_and(|undecided| undecided.0 == parent)
}

fn change(request: &mut impl Call, change: impl FnOnce(Context) -> Context) {
    let context = request.context_mut();
    *context = change(mem::take(context));
}

/// What is logged within the call by the `tracing` crate stands in this.
#[cfg(feature = "tracing")]
fn scope(context: &Context) -> tracing::Span {
    context.trace().map_or_else(tracing::Span::none, |trace| {
        let (trace_id, span_id) = (trace.trace_id(), trace.span_id());
        tracing::info_span!(target: "purlin", "call", %trace_id, %span_id)
    })
}

/// A call that has not ended yet, and what is recorded of it, if it is.
pub struct CallSpan<C> {
    recorded: Option<(Arc<CallTracing<C>>, Box<Record>)>,
    #[cfg(feature = "tracing")]
    scope: tracing::Span,
}

impl<C, Res, Err> Guard<Res, Err> for CallSpan<C>
where
    C: Classify<Res, Err>,
    Err: fmt::Display + 'static,
{
    #[inline]
    fn response(&mut self, outcome: &mut Result<Res, Err>) {
        let Some((tracing, record)) = &mut self.recorded else { return };
        record.verdict = tracing.classify.classify(outcome);
        record.business = outcome.is_ok() && record.verdict != Verdict::OK;
        record.failure = outcome.as_ref().err().map(Failure::of);
    }

    #[inline]
    fn end(self, end: End<'_>) {
        let Some((tracing, mut record)) = self.recorded else { return };
        record.ended = end.at(record.started);
        record.verdict = end.verdict(record.verdict, record.started, record.deadline);
        match end.how() {
            How::Streamed(Err(error)) => record.failure = Some(Failure::of(error)),
            How::Panicked => record.panicked = true,
            _ => {}
        }
        tracing.tracer.0.keep(record);
    }

    #[cfg(feature = "tracing")]
    fn enter(&self) -> impl Sized {
        self.scope.enter()
    }
}

impl<C> fmt::Debug for CallSpan<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallSpan").field("recorded", &self.recorded.is_some()).finish()
    }
}
