//! The W3C's [Trace Context](https://www.w3.org/TR/trace-context/): `traceparent` and `tracestate`.

use crate::id::{hex, parse_span, parse_trace};
use purlin_endpoint::{Carrier, Trace};

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// What all systems have to hand on, in characters, and no more is.
const LONGEST_STATE: usize = 512;
const MOST_MEMBERS: usize = 32;

pub(crate) fn extract(carrier: &dyn Carrier) -> Option<Trace> {
    let [parent] = carrier.get_all(PARENT)[..] else { return None };
    let trace = parse(parent)?;
    Some(match state(&carrier.get_all(STATE)) {
        Some(state) => trace.with_state(state),
        None => trace,
    })
}

pub(crate) fn inject(trace: &Trace, carrier: &mut dyn Carrier) {
    let mut parent = *b"00-00000000000000000000000000000000-0000000000000000-00";
    parent[3..35].copy_from_slice(&trace.trace_id().hex());
    parent[36..52].copy_from_slice(&trace.span_id().hex());
    parent[54] = b'0' + u8::from(trace.is_sampled());
    // Only ASCII stands there.
    carrier.set(PARENT, std::str::from_utf8(&parent).unwrap_or_default());
    match trace.state() {
        Some(state) => carrier.set(STATE, state),
        // What belongs to another trace must not travel with this one.
        None => carrier.remove(STATE),
    }
}

/// `version-trace-span-flags`. Later versions may append fields, which are passed over.
fn parse(parent: &str) -> Option<Trace> {
    let (known, more) = parent.split_at_checked(55)?;
    let mut fields = known.split('-');
    let version = hex(fields.next()?, 2)?;
    let trace = parse_trace(fields.next()?)?;
    let span = parse_span(fields.next()?)?;
    let flags = hex(fields.next()?, 2)?;
    let fits = match version {
        0 => more.is_empty(),
        0xff => false,
        _ => more.is_empty() || more.starts_with('-'),
    };
    fits.then(|| Trace::new(trace, span).sampled(flags & 1 == 1))
}

/// The members of all headers in one, or nothing if any of them is wrong or there are too many.
fn state(headers: &[&str]) -> Option<String> {
    let mut state = String::new();
    let mut members = 0;
    for header in headers {
        for member in header.split(',').map(|member| member.trim_matches([' ', '\t'])) {
            if member.is_empty() {
                continue;
            }
            members += 1;
            let gap = if state.is_empty() { "" } else { "," };
            let length = state.len() + gap.len() + member.len();
            if members > MOST_MEMBERS || length > LONGEST_STATE || !is_member(member) {
                return None;
            }
            state.push_str(gap);
            state.push_str(member);
        }
    }
    (!state.is_empty()).then_some(state)
}

fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else { return false };
    let fits = match key.split_once('@') {
        None => is_key(key, 256, false),
        Some((tenant, system)) => is_key(tenant, 241, true) && is_key(system, 14, false),
    };
    let printable = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'=';
    fits && (1..=256).contains(&value.len()) && value.bytes().all(printable)
}

fn is_key(key: &str, longest: usize, digit_first: bool) -> bool {
    let starts = key
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_lowercase() || digit_first && first.is_ascii_digit());
    let fits = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
    starts && key.len() <= longest && key.bytes().all(fits)
}
