use crate::{b3, baggage, w3c};
use purlin_endpoint::{Baggage, Carrier, Context, Error, SpanId};
use std::{fmt, str::FromStr};

/// How traces travel between processes: which headers, or gRPC metadata, they are read from and
/// written to.
///
/// ```
/// use http::HeaderMap;
/// use purlin_endpoint::Context;
/// use purlin_tracing::Propagation;
///
/// let propagation = Propagation::w3c();
/// let mut headers = HeaderMap::new();
/// let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// headers.insert("traceparent", parent.parse()?);
///
/// let context = propagation.extract(&headers, Context::new())?;
/// assert!(context.trace().unwrap().is_sampled());
///
/// let mut onward = HeaderMap::new();
/// propagation.inject(&context.outgoing(), &mut onward)?;
/// assert_eq!(onward["traceparent"], parent);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// Both functions have the shape that a transport's `before` has, over HTTP and over gRPC: of
/// `purlin-transport-http`,
///
/// ```text
/// server.before(move |context, head| propagation.extract(&head.headers, context))
/// client.before(move |context, head| propagation.inject(context, &mut head.headers))
/// ```
///
/// and of `purlin-transport-grpc` the same with the metadata itself in place of `head.headers`.
///
/// What is malformed is as good as not there: the call is then the first of its trace. Nothing of
/// it is kept or shown anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Propagation(Vec<Format>);

/// A way to write down a trace, or what travels with it. The names are those of OpenTelemetry's
/// variable `OTEL_PROPAGATORS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Format {
    /// The W3C's [`traceparent` and `tracestate`](https://www.w3.org/TR/trace-context/):
    /// `tracecontext`. A `tracestate` of more than 512 characters or 32 members, or with a wrong
    /// one, is dropped.
    TraceContext,
    /// The W3C's [`baggage`](https://www.w3.org/TR/baggage/): `baggage`. No more than 64 members
    /// and 8192 bytes are read or written. Properties of members are dropped.
    Baggage,
    /// [B3](https://github.com/openzipkin/b3-propagation) in one header: `b3`.
    B3,
    /// B3 in several headers, `x-b3-traceid` and so on: `b3multi`.
    B3Multi,
}

/// The W3C's.
impl Default for Propagation {
    fn default() -> Self {
        Self::w3c()
    }
}

impl Propagation {
    /// The W3C's trace context and baggage.
    pub fn w3c() -> Self {
        Self(vec![Format::TraceContext, Format::Baggage])
    }

    /// This format only.
    pub fn of(format: Format) -> Self {
        Self(vec![format])
    }

    /// Reads this as well, if those before it have found no trace; and writes it as well.
    #[must_use]
    pub fn and(mut self, format: Format) -> Self {
        if !self.0.contains(&format) {
            self.0.push(format);
        }
        self
    }

    /// Reads where the caller stands in its trace, and its baggage.
    ///
    /// # Errors
    ///
    /// None: the result is there for the shape of a transport's `before`.
    pub fn extract(&self, carrier: &dyn Carrier, mut context: Context) -> Result<Context, Error> {
        let mut traced = false;
        for format in &self.0 {
            let found = match format {
                Format::Baggage => {
                    let baggage = baggage::extract(carrier);
                    if baggage != Baggage::EMPTY {
                        context = context.with_baggage(baggage);
                    }
                    continue;
                }
                _ if traced => continue,
                Format::TraceContext => {
                    w3c::extract(carrier).map(|trace| b3::Found { trace, undecided: false })
                }
                Format::B3 => b3::extract_single(carrier),
                Format::B3Multi => b3::extract_multi(carrier),
            };
            if let Some(found) = found {
                traced = true;
                if found.undecided {
                    context = context.with(Undecided(found.trace.span_id()));
                }
                context = context.with_trace(found.trace);
            }
        }
        Ok(context)
    }

    /// Writes where this call stands in its trace, and its baggage, if there is anything to say.
    ///
    /// # Errors
    ///
    /// None: the result is there for the shape of a transport's `before`.
    pub fn inject(&self, context: &Context, carrier: &mut dyn Carrier) -> Result<(), Error> {
        for format in &self.0 {
            match (format, context.trace()) {
                (Format::Baggage, _) => baggage::inject(context.baggage(), carrier),
                (Format::TraceContext, Some(trace)) => w3c::inject(trace, carrier),
                (Format::B3, Some(trace)) => b3::inject_single(trace, carrier),
                (Format::B3Multi, Some(trace)) => b3::inject_multi(trace, carrier),
                (_, None) => {}
            }
        }
        Ok(())
    }
}

/// The caller has left it to us whether the span that follows this one is recorded.
pub(crate) struct Undecided(pub(crate) SpanId);

/// Reads a list as in `tracecontext,baggage,b3`.
impl FromStr for Propagation {
    type Err = UnknownFormat;

    fn from_str(list: &str) -> Result<Self, UnknownFormat> {
        let mut formats = Self(Vec::new());
        for name in list.split(',') {
            formats = formats.and(match name.trim() {
                "tracecontext" => Format::TraceContext,
                "baggage" => Format::Baggage,
                "b3" => Format::B3,
                "b3multi" => Format::B3Multi,
                _ => return Err(UnknownFormat),
            });
        }
        Ok(formats)
    }
}

/// There is no format of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownFormat;

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a list of `tracecontext`, `baggage`, `b3` and `b3multi`")
    }
}

impl std::error::Error for UnknownFormat {}
