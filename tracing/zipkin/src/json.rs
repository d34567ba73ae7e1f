//! Spans as Zipkin's JSON.

use purlin_tracing::{
    Attribute, Event, Resource, Side, Span, Value,
    semconv::{NETWORK_PEER_ADDRESS, NETWORK_PEER_PORT, SERVICE_NAME},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, SystemTime},
};

pub(crate) fn write(resource: &Resource, spans: &[Span]) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&spans.iter().map(|span| Written::new(resource, span)).collect::<Vec<_>>())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    trace_id: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<String>,
    kind: &'static str,
    name: &'a str,
    /// In microseconds since 1970.
    timestamp: u64,
    /// In microseconds, and never zero, which would say that it is not known.
    duration: u64,
    local_endpoint: LocalEndpoint<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_endpoint: Option<RemoteEndpoint>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Annotation>,
    tags: BTreeMap<&'a str, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LocalEndpoint<'a> {
    service_name: &'a str,
}

#[derive(Serialize)]
struct RemoteEndpoint {
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv4: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv6: Option<IpAddr>,
    port: u16,
}

#[derive(Serialize)]
struct Annotation {
    timestamp: u64,
    value: String,
}

impl<'a> Written<'a> {
    fn new(resource: &'a Resource, span: &'a Span) -> Self {
        let remote_endpoint = remote(span);
        let shown = |name: &str| {
            let in_endpoint = matches!(name, NETWORK_PEER_ADDRESS | NETWORK_PEER_PORT);
            !(in_endpoint && remote_endpoint.is_some())
        };
        let attributes = span.attributes.iter().filter(|(name, _)| shown(name));
        let mut tags: BTreeMap<&str, String> =
            attributes.map(|(name, value)| (&**name, value.to_string())).collect();
        let more = resource.attributes().filter(|(name, _)| *name != SERVICE_NAME);
        tags.extend(more.map(|(name, value)| (name, value.to_owned())));
        if let Some(why) = &span.failed {
            tags.insert("otel.status_code", "ERROR".to_owned());
            tags.insert("error", why.clone().into_owned());
        }
        let took = span.ended.duration_since(span.started).unwrap_or_default();
        Self {
            trace_id: span.trace.trace_id().to_string(),
            id: span.trace.span_id().to_string(),
            parent_id: span.parent.map(|parent| parent.to_string()),
            kind: match span.side {
                Side::Server => "SERVER",
                Side::Client => "CLIENT",
            },
            name: &span.name,
            timestamp: since_1970(span.started),
            duration: micros(took).max(1),
            local_endpoint: LocalEndpoint { service_name: resource.service() },
            remote_endpoint,
            annotations: span.events.iter().map(annotation).collect(),
            tags,
        }
    }
}

fn remote(span: &Span) -> Option<RemoteEndpoint> {
    let address: IpAddr = span.attribute(NETWORK_PEER_ADDRESS)?.to_string().parse().ok()?;
    let Some(Value::Integer(port)) = span.attribute(NETWORK_PEER_PORT) else { return None };
    let (ipv4, ipv6) = match address {
        IpAddr::V4(_) => (Some(address), None),
        IpAddr::V6(_) => (None, Some(address)),
    };
    Some(RemoteEndpoint { ipv4, ipv6, port: u16::try_from(*port).ok()? })
}

/// `"name": {…}`, as OpenTelemetry writes an event down.
fn annotation(event: &Event) -> Annotation {
    let written = |(name, value): &Attribute| {
        let value = match value {
            Value::Integer(number) => (*number).into(),
            Value::Bool(bool) => (*bool).into(),
            text => serde_json::Value::String(text.to_string()),
        };
        (name.clone().into_owned(), value)
    };
    let attributes: serde_json::Map<_, _> = event.attributes.iter().map(written).collect();
    let attributes = serde_json::Value::Object(attributes);
    Annotation {
        timestamp: since_1970(event.at),
        value: format!("\"{}\": {attributes}", event.name),
    }
}

fn since_1970(at: SystemTime) -> u64 {
    micros(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
