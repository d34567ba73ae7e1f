//! How ids are made and read.

use purlin_endpoint::{SpanId, Trace, TraceId};

/// A new trace, not sampled: the ids are random, as the sampling by ratio wants them.
pub(crate) fn root() -> Trace {
    loop {
        if let Some(trace) = TraceId::new(fastrand::u128(..)) {
            return Trace::new(trace, span());
        }
    }
}

/// The id of a new span.
pub(crate) fn span() -> SpanId {
    loop {
        if let Some(span) = SpanId::new(fastrand::u64(..)) {
            return span;
        }
    }
}

/// A trace's id in exactly 32 lower-case hexadecimal digits.
pub(crate) fn parse_trace(text: &str) -> Option<TraceId> {
    TraceId::new(hex(text, 32)?)
}

/// A span's id in exactly 16 lower-case hexadecimal digits.
pub(crate) fn parse_span(text: &str) -> Option<SpanId> {
    SpanId::new(u64::try_from(hex(text, 16)?).ok()?)
}

/// A number in exactly so many lower-case hexadecimal digits.
pub(crate) fn hex(text: &str, digits: usize) -> Option<u128> {
    let plain = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != digits || !text.bytes().all(plain) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}
