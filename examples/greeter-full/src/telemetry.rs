//! Log, metrics and traces: made by `main`, handed on, and flushed at the end.

use futures_util::{FutureExt as _, future::BoxFuture};
use purlin::{
    Carrier, Context, Error,
    admin::Tail,
    auth,
    http_client::HttpClient,
    log::{Background, Format, Level, LogLayer, Logger, Queue},
    metrics::{MetricsLayer, Registry},
    tracing::{Propagation, Sampling, Tracer, Tracing},
    tracing_otlp::Otel,
    tracing_zipkin::Zipkin,
};
use std::{error, io, str::FromStr};

/// Where spans go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Traces {
    /// Nowhere: no call is recorded.
    None,
    /// Over OTLP in gRPC: `otlp://127.0.0.1:4317`.
    OtlpGrpc(String),
    /// Over OTLP in HTTP: `otlp+http://127.0.0.1:4318`.
    OtlpHttp(String),
    /// To Zipkin: `zipkin://127.0.0.1:9411`.
    Zipkin(String),
}

impl FromStr for Traces {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once("://") {
            None if text == "none" => Ok(Self::None),
            Some(("otlp", host)) => Ok(Self::OtlpGrpc(format!("http://{host}"))),
            Some(("otlp+http", host)) => Ok(Self::OtlpHttp(format!("http://{host}/v1/traces"))),
            Some(("zipkin", host)) => Ok(Self::Zipkin(format!("http://{host}/api/v2/spans"))),
            _ => {
                Err("is none of none, otlp://HOST:PORT, otlp+http://HOST:PORT, zipkin://HOST:PORT")
            }
        }
    }
}

/// Everything that tells of calls.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// Writes lines to the standard error, in a thread of its own.
    pub log: Logger,
    /// One line for each call.
    pub lines: LogLayer,
    /// What is counted and timed.
    pub registry: Registry,
    /// Measures calls that come in.
    pub metrics: MetricsLayer,
    /// Makes spans.
    pub tracer: Tracer,
    /// The last lines.
    pub tail: Tail,
}

/// What runs beside the calls until the process ends.
pub struct Outbox {
    background: Background,
    export: Box<dyn FnOnce(Stop) -> Stop + Send>,
}

/// Something that ends.
type Stop = BoxFuture<'static, ()>;

impl Telemetry {
    /// Makes it all, for a process of this name. So large a share of new traces is recorded.
    ///
    /// # Errors
    ///
    /// If the share or an address makes no sense, or no thread can be started.
    pub fn new(
        service: &str,
        (format, level): (Format, Level),
        (traces, share): (&Traces, f64),
    ) -> Result<(Self, Outbox), Box<dyn error::Error>> {
        let tail = Tail::new(1000);
        let (log, background) = Logger::queued(format, tail.over(io::stderr()), Queue::default())?;
        let log = log.level(level);
        let sampling = match traces {
            Traces::None => Sampling::never(),
            _ => Sampling::ratio(share),
        };
        let (tracer, spans) = Tracing::new(service).sampling(sampling).tracer()?;
        let export: Box<dyn FnOnce(Stop) -> Stop + Send> = match traces {
            Traces::None => Box::new(|stop| stop),
            Traces::OtlpGrpc(endpoint) => {
                let otlp = Otel::grpc(endpoint)?;
                Box::new(|stop| spans.export(otlp, stop).boxed())
            }
            Traces::OtlpHttp(endpoint) => {
                let otlp = Otel::http(endpoint, HttpClient::new())?;
                Box::new(|stop| spans.export(otlp, stop).boxed())
            }
            Traces::Zipkin(uri) => {
                let zipkin = Zipkin::new(uri.parse()?);
                Box::new(|stop| spans.export(zipkin, stop).boxed())
            }
        };
        let registry = Registry::new();
        let (lines, metrics) = (LogLayer::new(log.clone()), MetricsLayer::new(registry.clone()));
        let telemetry = Self { log, lines, registry, metrics, tracer, tail };
        Ok((telemetry, Outbox { background, export }))
    }
}

impl Outbox {
    /// Splits off what sends the spans until it is told to stop; the rest is what writes the lines,
    /// to be stopped last.
    pub fn split(self) -> (impl FnOnce(Stop) -> Stop + Send, Background) {
        (self.export, self.background)
    }
}

/// Reads what goes with a call besides its message: where its caller stands in a trace, and what
/// shows who that is.
///
/// # Errors
///
/// If what shows it makes no sense.
pub fn extract(carrier: &dyn Carrier, context: Context) -> Result<Context, Error> {
    auth::extract(carrier, Propagation::w3c().extract(carrier, context)?)
}

/// Writes where a call stands in its trace.
///
/// # Errors
///
/// None: it has the shape of what can fail.
pub fn inject(context: &Context, carrier: &mut dyn Carrier) -> Result<(), Error> {
    Propagation::w3c().inject(context, carrier)
}
