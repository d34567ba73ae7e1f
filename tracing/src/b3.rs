//! Zipkin's [B3](https://github.com/openzipkin/b3-propagation): one header, or several.

use crate::id::{self, parse_span, parse_trace};
use purlin_endpoint::{Carrier, SpanId, Trace, TraceId};

const SINGLE: &str = "b3";
const TRACE: &str = "x-b3-traceid";
const SPAN: &str = "x-b3-spanid";
const PARENT: &str = "x-b3-parentspanid";
const SAMPLED: &str = "x-b3-sampled";
const FLAGS: &str = "x-b3-flags";

/// Where the caller is in its trace, and whether it has left the decision about sampling to us.
pub(crate) struct Found {
    pub(crate) trace: Trace,
    pub(crate) undecided: bool,
}

/// `trace-span-sampled-parent`, of which the last two may be missing; or `0`.
pub(crate) fn extract_single(carrier: &dyn Carrier) -> Option<Found> {
    let [header] = carrier.get_all(SINGLE)[..] else { return None };
    if header == "0" {
        return Some(denied());
    }
    let mut fields = header.split('-');
    let (trace, span) = (fields.next()?, fields.next()?);
    let sampled = match fields.next() {
        None => None,
        Some("1" | "d") => Some(true),
        Some("0") => Some(false),
        Some(_) => return None,
    };
    let parent = fields.next();
    if parent.is_some_and(|parent| parse_span(parent).is_none()) || fields.next().is_some() {
        return None;
    }
    found(trace_id(trace)?, parse_span(span)?, sampled)
}

pub(crate) fn inject_single(trace: &Trace, carrier: &mut dyn Carrier) {
    let mut header = *b"00000000000000000000000000000000-0000000000000000-0";
    header[..32].copy_from_slice(&trace.trace_id().hex());
    header[33..49].copy_from_slice(&trace.span_id().hex());
    header[50] = b'0' + u8::from(trace.is_sampled());
    // Only ASCII stands there.
    carrier.set(SINGLE, std::str::from_utf8(&header).unwrap_or_default());
}

pub(crate) fn extract_multi(carrier: &dyn Carrier) -> Option<Found> {
    let sampled = match (carrier.get(FLAGS), carrier.get(SAMPLED)) {
        (Some("1"), _) | (_, Some("1" | "true")) => Some(true),
        (_, Some("0" | "false")) => Some(false),
        (_, None) => None,
        (_, Some(_)) => return None,
    };
    let (Some(trace), Some(span)) = (carrier.get(TRACE), carrier.get(SPAN)) else {
        return (sampled == Some(false)).then(denied);
    };
    found(trace_id(trace)?, parse_span(span)?, sampled)
}

pub(crate) fn inject_multi(trace: &Trace, carrier: &mut dyn Carrier) {
    let (trace_id, span_id) = (trace.trace_id().hex(), trace.span_id().hex());
    // Only ASCII stands there.
    carrier.set(TRACE, std::str::from_utf8(&trace_id).unwrap_or_default());
    carrier.set(SPAN, std::str::from_utf8(&span_id).unwrap_or_default());
    carrier.set(SAMPLED, if trace.is_sampled() { "1" } else { "0" });
    // They would speak of another span.
    carrier.remove(PARENT);
    carrier.remove(FLAGS);
}

/// Half as many digits are an old trace's id, whose upper half is zero.
fn trace_id(text: &str) -> Option<TraceId> {
    match text.len() {
        16 => TraceId::new(parse_span(text)?.get().into()),
        _ => parse_trace(text),
    }
}

fn found(trace: TraceId, span: SpanId, sampled: Option<bool>) -> Option<Found> {
    let trace = Trace::new(trace, span).sampled(sampled == Some(true));
    Some(Found { trace, undecided: sampled.is_none() })
}

/// The caller wants no spans, and says nothing else: what is called from here shall know it too.
fn denied() -> Found {
    Found { trace: id::root(), undecided: false }
}
