use crate::data;
use opentelemetry::{
    Context, SpanId, TraceId,
    trace::{Span as _, SpanBuilder, TraceContextExt as _, Tracer},
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use purlin_endpoint::Error;
use purlin_tracing::{Export, Resource, Span};
use std::cell::Cell;

/// Makes spans of a tracer that the program has from elsewhere out of finished ones.
///
/// They go through the provider's own processors, limits and exporters, and carry its resource. It
/// must record what it is told to, as OpenTelemetry's default sampler does, and make ids by
/// [`Ids`]: else the spans are there, but none is another's parent.
///
/// ```
/// use opentelemetry::trace::TracerProvider as _;
/// use opentelemetry_sdk::trace::SdkTracerProvider;
/// use purlin_tracing_otlp::{Ids, Provided};
///
/// let provider = SdkTracerProvider::builder().with_id_generator(Ids::default()).build();
/// let provided = Provided::new(provider.tracer("greeter"));
/// # let _ = provided;
/// ```
#[derive(Debug)]
pub struct Provided<T> {
    tracer: T,
}

impl<T: Tracer> Provided<T> {
    /// Makes spans of this tracer.
    pub fn new(tracer: T) -> Self {
        Self { tracer }
    }

    fn make(&self, span: &Span) {
        let parent = span.parent.map_or_else(Context::new, |parent| {
            let place = data::place(&span.trace.child(parent), true);
            Context::new().with_remote_span_context(place)
        });
        let builder = SpanBuilder::from_name(span.name.clone())
            .with_kind(data::kind(span))
            .with_start_time(span.started)
            .with_attributes(data::attributes(&span.attributes))
            .with_events(data::events(span))
            .with_links(data::links(span));
        let place = data::place(&span.trace, false);
        let next = NEXT.replace(Some((place.trace_id(), place.span_id())));
        let mut made = self.tracer.build_with_context(builder, &parent);
        NEXT.set(next);
        made.set_status(data::status(span));
        made.end_with_timestamp(span.ended);
    }
}

impl<T: Tracer + Send + Sync> Export for Provided<T> {
    async fn export(&mut self, _: &Resource, spans: &[Span]) -> Result<(), Error> {
        spans.iter().for_each(|span| self.make(span));
        Ok(())
    }
}

thread_local! {
    /// The ids of the span that is made just now, on this thread, by a [`Provided`].
    static NEXT: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Gives spans that are made by [`Provided`] the ids that they have, and others random ones.
#[derive(Clone, Debug, Default)]
pub struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.get().map_or_else(|| self.0.new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.get().map_or_else(|| self.0.new_span_id(), |(_, span)| span)
    }
}
