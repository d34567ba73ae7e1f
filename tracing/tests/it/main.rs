//! Calls of all kinds, and the spans that are made of them.

mod conformance;
mod costs;
mod export;
mod go_kit;
mod hostile;
mod layer;
mod propagation;

use purlin_endpoint::{Context, SpanId, Trace, TraceId};
use purlin_tracing::{Span, Spans, Tracer, Tracing};

/// A tracer that records every call.
fn tracer() -> (Tracer, Spans) {
    Tracing::new("test").tracer().unwrap()
}

/// The only span that waits to be exported.
fn only(spans: &mut Spans) -> Span {
    let mut spans = spans.take();
    assert_eq!(spans.len(), 1, "{spans:?}");
    spans.remove(0)
}

fn text(span: &Span, name: &str) -> Option<String> {
    span.attribute(name).map(ToString::to_string)
}

fn caller() -> Trace {
    Trace::new(TraceId::new(0xabc << 64 | 1).unwrap(), SpanId::new(7).unwrap())
}

fn called_by(trace: Trace) -> Context {
    Context::new().with_trace(trace)
}
