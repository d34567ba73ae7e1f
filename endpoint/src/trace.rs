use std::{fmt, num::NonZero, sync::Arc};

/// Where a call stands in a distributed trace.
///
/// It travels in the [`Context`](crate::Context), also to the calls that this one makes. A tracing
/// layer sets it; log lines and metrics show its id, and nobody else needs to know who traces.
///
/// ```
/// use purlin_endpoint::{SpanId, Trace, TraceId};
///
/// let trace = TraceId::new(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c).unwrap();
/// let server = Trace::new(trace, SpanId::new(0xb7ad_6b71_6920_3331).unwrap()).sampled(true);
/// let client = server.child(SpanId::new(0x00f0_67aa_0ba9_02b7).unwrap());
///
/// assert_eq!(client.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
/// assert_eq!(client.span_id().to_string(), "00f067aa0ba902b7");
/// assert!(client.is_sampled());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    trace: TraceId,
    span: SpanId,
    sampled: bool,
    state: Option<Arc<str>>,
}

impl Trace {
    /// A place in this trace, not sampled.
    pub const fn new(trace: TraceId, span: SpanId) -> Self {
        Self { trace, span, sampled: false, state: None }
    }

    /// Says whether spans of this trace are recorded.
    #[must_use]
    pub fn sampled(mut self, sampled: bool) -> Self {
        self.sampled = sampled;
        self
    }

    /// Sets what tracing systems hand on beside the ids: the W3C's `tracestate`.
    #[must_use]
    pub fn with_state(mut self, state: impl Into<Arc<str>>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// Another span of the same trace.
    #[must_use]
    pub fn child(&self, span: SpanId) -> Self {
        Self { span, ..self.clone() }
    }

    /// The id that all spans of the trace share.
    pub const fn trace_id(&self) -> TraceId {
        self.trace
    }

    /// The span that is the parent of whatever comes next.
    pub const fn span_id(&self) -> SpanId {
        self.span
    }

    /// Whether spans of this trace are recorded.
    pub const fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// What tracing systems hand on beside the ids.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident: $number:ty, $digits:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(NonZero<$number>);

        impl $name {
            /// The id with this number. Zero is none.
            pub const fn new(number: $number) -> Option<Self> {
                match NonZero::new(number) {
                    Some(number) => Some(Self(number)),
                    None => None,
                }
            }

            /// The id as a number.
            pub const fn get(self) -> $number {
                self.0.get()
            }

            /// The id as lower-case hexadecimal digits, in ASCII.
            pub fn hex(self) -> [u8; $digits] {
                let mut digits = [0; $digits];
                for (pair, byte) in digits.chunks_exact_mut(2).zip(self.get().to_be_bytes()) {
                    pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
                    pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
                }
                digits
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // Only ASCII stands there.
                f.pad(std::str::from_utf8(&self.hex()).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id! {
    /// The id of a trace: 16 bytes, never all zero, written as 32 hexadecimal digits.
    TraceId: u128, 32
}
id! {
    /// The id of a span: 8 bytes, never all zero, written as 16 hexadecimal digits.
    SpanId: u64, 16
}

/// Names and values that travel with a call to all that it calls: the W3C's baggage.
///
/// It is empty unless a tracing layer's `extract` was composed, and leaves this process only where
/// its `inject` was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baggage(Option<Arc<Vec<(String, String)>>>);

impl Baggage {
    /// Without an entry.
    pub const EMPTY: Self = Self(None);

    /// Sets an entry. Who encodes it escapes what a header can't carry.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        let entries = Arc::make_mut(self.0.get_or_insert_default());
        match entries.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => entries.push((name, value)),
        }
        self
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All names and values, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|entries| entries.iter()).map(|(name, value)| (&**name, &**value))
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|entries| entries.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_no_id() {
        assert_eq!((TraceId::new(0), SpanId::new(0)), (None, None));
    }

    #[test]
    fn ids_are_written_with_all_their_digits() {
        assert_eq!(TraceId::new(1).unwrap().to_string(), format!("{:032x}", 1));
        assert_eq!(SpanId::new(u64::MAX).unwrap().to_string(), "f".repeat(16));
        assert_eq!(format!("{:?}", SpanId::new(0xab).unwrap()), "00000000000000ab");
    }

    #[test]
    fn an_entry_of_the_baggage_is_replaced_and_older_clones_keep_theirs() {
        let first = Baggage::default().with("tenant", "a").with("tier", "b");
        let second = first.clone().with("tenant", "c");
        assert_eq!(first.get("tenant"), Some("a"));
        assert_eq!(second.iter().collect::<Vec<_>>(), [("tenant", "c"), ("tier", "b")]);
        assert!(!second.is_empty() && Baggage::EMPTY.is_empty());
    }
}
