//! Spans sent to OpenTelemetry.
//!
//! ```
//! use opentelemetry::trace::TracerProvider as _;
//! use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
//! use purlin_tracing::Tracing;
//! use purlin_tracing_otlp::{Otel, Provided};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), purlin_endpoint::Invalid> {
//! let (tracer, spans) = Tracing::new("greeter").tracer()?;
//! // To any span exporter of OpenTelemetry's SDK, such as that of OTLP …
//! let stop = async {};
//! spans.export(Otel::new(InMemorySpanExporter::default()), stop).await;
//! // … or to a provider, if the program has one.
//! let provider = SdkTracerProvider::builder().build();
//! let provided = Provided::new(provider.tracer("greeter"));
//! assert_eq!(tracer.handle().dropped(), 0);
//! # let _ = provided;
//! # Ok(())
//! # }
//! ```
//!
//! [`Otel`] hands finished spans, a batch at a time, to a [`SpanExporter`] of OpenTelemetry's SDK.
//! That costs a call nothing: no span of the SDK is made for it. Ready ones are
//! [`Otel::grpc`] and [`Otel::http`], by the `opentelemetry-otlp` crate. [`Provided`] makes spans of
//! an injected [`TracerProvider`](opentelemetry::trace::TracerProvider) out of finished ones.
//! [`CurrentLayer`] shows other instrumented libraries where they are called from. Nothing is global:
//! no provider, propagator or error handler is installed or asked for.
//!
//! OpenTelemetry's exporters don't say whether it helps to try again, so every failure of theirs is
//! taken for one where it may; a batch that keeps failing is given up after a minute.
//!
//! # Features
//!
//! - `grpc`: OTLP over gRPC, by tonic; `http`: OTLP over HTTP, in binary, through
//!   `purlin-http-client`.
//! - `rustls`: both over TLS, by rustls on ring.
//!
//! The `opentelemetry-otlp` crate reads variables of the environment, such as
//! `OTEL_EXPORTER_OTLP_HEADERS`; what is said in the program counts more.

mod current;
mod data;
#[cfg(feature = "http")]
mod http;
mod provided;

pub use current::{Current, CurrentLayer, Shown};
pub use provided::{Ids, Provided};

use opentelemetry::InstrumentationScope;
#[cfg(any(feature = "grpc", feature = "http"))]
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::trace::SpanExporter;
use purlin_endpoint::{Code, Error};
use purlin_tracing::{Export, Resource, Span, semconv};

/// Sends spans by an exporter of OpenTelemetry's SDK.
#[derive(Debug)]
pub struct Otel<E> {
    exporter: E,
    scope: InstrumentationScope,
    /// Whom the exporter takes the spans to be from.
    resource: Option<Resource>,
}

impl<E: SpanExporter> Otel<E> {
    /// Sends spans by this exporter.
    pub fn new(exporter: E) -> Self {
        let scope = InstrumentationScope::builder("purlin-tracing")
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(semconv::SCHEMA_URL)
            .build();
        Self { exporter, scope, resource: None }
    }
}

#[cfg(feature = "grpc")]
impl Otel<opentelemetry_otlp::SpanExporter> {
    /// Sends spans by OTLP over gRPC, as in `http://127.0.0.1:4317`. It needs a tokio runtime, also
    /// here.
    ///
    /// # Errors
    ///
    /// If that is no address.
    pub fn grpc(endpoint: impl Into<String>) -> Result<Self, ExporterBuildError> {
        use opentelemetry_otlp::{RetryPolicy, WithExportConfig as _, WithTonicConfig as _};
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_retry_policy(RetryPolicy::disabled());
        Ok(Self::new(exporter.build()?))
    }
}

#[cfg(feature = "http")]
impl Otel<opentelemetry_otlp::SpanExporter> {
    /// Sends spans by OTLP over HTTP, as in `http://127.0.0.1:4318/v1/traces`.
    ///
    /// # Errors
    ///
    /// If that is no address.
    pub fn http(
        endpoint: impl Into<String>,
        client: purlin_http_client::HttpClient,
    ) -> Result<Self, ExporterBuildError> {
        use opentelemetry_otlp::{
            Protocol, RetryPolicy, WithExportConfig as _, WithHttpConfig as _,
        };
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(http::Client(client))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_retry_policy(RetryPolicy::disabled());
        Ok(Self::new(exporter.build()?))
    }
}

impl<E: SpanExporter> Export for Otel<E> {
    async fn export(&mut self, resource: &Resource, spans: &[Span]) -> Result<(), Error> {
        if self.resource.as_ref() != Some(resource) {
            self.exporter.set_resource(&data::resource(resource));
            self.resource = Some(resource.clone());
        }
        let batch = spans.iter().map(|span| data::span(span, &self.scope)).collect();
        let sent = self.exporter.export(batch).await;
        sent.map_err(|error| Error::new(Code::Unavailable, error))
    }
}
