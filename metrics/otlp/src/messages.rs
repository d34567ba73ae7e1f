//! The messages of `opentelemetry.proto.metrics.v1` and what is around them, as far as they are
//! sent here. The numbers are those of opentelemetry-proto 1.

use prost::{Enumeration, Message, Oneof};
use purlin_metrics::{Distribution, Family, Kind, Series, Snapshot, Value, semconv};
use std::time::SystemTime;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub(crate) rejected_data_points: i64,
    #[prost(string, tag = "2")]
    pub(crate) error_message: String,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeMetrics {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    description: String,
    #[prost(string, tag = "3")]
    unit: String,
    #[prost(oneof = "Data", tags = "5, 7, 9")]
    data: Option<Data>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Data {
    #[prost(message, tag = "5")]
    Gauge(Gauge),
    #[prost(message, tag = "7")]
    Sum(Sum),
    #[prost(message, tag = "9")]
    Histogram(Histogram),
}

#[derive(Clone, PartialEq, Message)]
struct Gauge {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<NumberDataPoint>,
}

#[derive(Clone, PartialEq, Message)]
struct Sum {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<NumberDataPoint>,
    #[prost(enumeration = "Temporality", tag = "2")]
    aggregation_temporality: i32,
    #[prost(bool, tag = "3")]
    is_monotonic: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<HistogramDataPoint>,
    #[prost(enumeration = "Temporality", tag = "2")]
    aggregation_temporality: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
enum Temporality {
    Unspecified = 0,
    Cumulative = 2,
}

#[derive(Clone, PartialEq, Message)]
struct NumberDataPoint {
    #[prost(fixed64, tag = "2")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "3")]
    time_unix_nano: u64,
    #[prost(oneof = "Number", tags = "4, 6")]
    value: Option<Number>,
    #[prost(message, repeated, tag = "7")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Number {
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(sfixed64, tag = "6")]
    Int(i64),
}

#[derive(Clone, PartialEq, Message)]
struct HistogramDataPoint {
    #[prost(fixed64, tag = "2")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "3")]
    time_unix_nano: u64,
    #[prost(fixed64, tag = "4")]
    count: u64,
    #[prost(double, optional, tag = "5")]
    sum: Option<f64>,
    #[prost(fixed64, repeated, tag = "6")]
    bucket_counts: Vec<u64>,
    #[prost(double, repeated, tag = "7")]
    explicit_bounds: Vec<f64>,
    #[prost(message, repeated, tag = "8")]
    exemplars: Vec<Exemplar>,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar {
    #[prost(fixed64, tag = "2")]
    time_unix_nano: u64,
    #[prost(double, optional, tag = "3")]
    as_double: Option<f64>,
    #[prost(bytes = "vec", tag = "4")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    trace_id: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 3")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Any {
    #[prost(string, tag = "1")]
    String(String),
    #[prost(int64, tag = "3")]
    Int(i64),
}

/// All metrics of a process of which these things are known.
pub(crate) fn export(snapshot: &Snapshot, resource: &[(String, String)]) -> ExportRequest {
    let metrics = snapshot.families.iter().map(|family| metric(snapshot, family)).collect();
    let scope = Scope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let schema_url = semconv::SCHEMA_URL.to_owned();
    ExportRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes: attributes(resource) }),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics, schema_url }],
        }],
    }
}

fn metric(snapshot: &Snapshot, family: &Family) -> Metric {
    let (since, at) = (nanos(snapshot.since), nanos(snapshot.at));
    let numbers = || {
        let number = |series| number(series, since, at);
        family.series.iter().filter_map(number).collect()
    };
    let cumulative = Temporality::Cumulative.into();
    let data = match family.kind {
        Kind::Gauge => Data::Gauge(Gauge { data_points: numbers() }),
        Kind::Counter | Kind::Level => Data::Sum(Sum {
            data_points: numbers(),
            aggregation_temporality: cumulative,
            is_monotonic: family.kind == Kind::Counter,
        }),
        Kind::Histogram => Data::Histogram(Histogram {
            data_points: family
                .series
                .iter()
                .filter_map(|series| match &series.value {
                    Value::Histogram(counted) => Some(histogram(series, counted, since, at)),
                    _ => None,
                })
                .collect(),
            aggregation_temporality: cumulative,
        }),
    };
    Metric {
        name: family.name.to_string(),
        description: family.description.to_string(),
        unit: family.unit.to_string(),
        data: Some(data),
    }
}

fn number(series: &Series, since: u64, at: u64) -> Option<NumberDataPoint> {
    let value = match &series.value {
        Value::Count(count) => Number::Int(i64::try_from(*count).unwrap_or(i64::MAX)),
        Value::Number(number) => Number::Double(*number),
        Value::Histogram(_) => return None,
    };
    Some(NumberDataPoint {
        start_time_unix_nano: since,
        time_unix_nano: at,
        value: Some(value),
        attributes: attributes(&series.labels),
    })
}

fn histogram(series: &Series, counted: &Distribution, since: u64, at: u64) -> HistogramDataPoint {
    let exemplar = |exemplar: purlin_metrics::Exemplar| Exemplar {
        time_unix_nano: nanos(exemplar.at),
        as_double: Some(exemplar.value),
        span_id: exemplar.span.get().to_be_bytes().to_vec(),
        trace_id: exemplar.trace.get().to_be_bytes().to_vec(),
    };
    HistogramDataPoint {
        start_time_unix_nano: since,
        time_unix_nano: at,
        count: counted.count(),
        sum: Some(counted.sum()),
        bucket_counts: counted.buckets.iter().map(|bucket| bucket.count).collect(),
        explicit_bounds: counted.bounds.bounds().to_vec(),
        exemplars: counted
            .buckets
            .iter()
            .filter_map(|bucket| bucket.exemplar.map(exemplar))
            .collect(),
        attributes: attributes(&series.labels),
    }
}

fn attributes(pairs: &[(String, String)]) -> Vec<KeyValue> {
    let any = |name: &str, value: &str| match value.parse() {
        // The one label of ours that the conventions have as a number.
        Ok(number) if name == semconv::HTTP_RESPONSE_STATUS_CODE => Any::Int(number),
        _ => Any::String(value.to_owned()),
    };
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| KeyValue {
            key: name.clone(),
            value: Some(AnyValue { value: Some(any(name, value)) }),
        })
        .collect()
}

fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
