//! What is known of a span, in OpenTelemetry's words.

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{Event, Link, SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use purlin_endpoint::Trace;
use purlin_tracing::{Attribute, Resource, Side, Span, Value};

pub(crate) fn resource(resource: &Resource) -> opentelemetry_sdk::Resource {
    let attributes = resource.attributes();
    let attributes =
        attributes.map(|(name, value)| KeyValue::new(name.to_owned(), value.to_owned()));
    opentelemetry_sdk::Resource::builder_empty().with_attributes(attributes).build()
}

pub(crate) fn span(span: &Span, scope: &InstrumentationScope) -> SpanData {
    let mut events = SpanEvents::default();
    events.events = self::events(span);
    let mut links = SpanLinks::default();
    links.links = self::links(span);
    SpanData {
        span_context: place(&span.trace, false),
        parent_span_id: span
            .parent
            .map_or(SpanId::INVALID, |id| SpanId::from_bytes(id.get().to_be_bytes())),
        // A server's caller is elsewhere, a client's is here.
        parent_span_is_remote: span.parent.is_some() && span.side == Side::Server,
        span_kind: kind(span),
        name: span.name.clone(),
        start_time: span.started,
        end_time: span.ended,
        attributes: attributes(&span.attributes),
        dropped_attributes_count: 0,
        events,
        links,
        status: status(span),
        instrumentation_scope: scope.clone(),
    }
}

pub(crate) fn place(trace: &Trace, remote: bool) -> SpanContext {
    let id = TraceId::from_bytes(trace.trace_id().get().to_be_bytes());
    let span = SpanId::from_bytes(trace.span_id().get().to_be_bytes());
    let flags = TraceFlags::NOT_SAMPLED.with_sampled(trace.is_sampled());
    SpanContext::new(id, span, flags, remote, state(trace.state().unwrap_or_default()))
}

fn state(state: &str) -> TraceState {
    let members = state.split(',').filter_map(|member| member.split_once('='));
    TraceState::from_key_value(members).unwrap_or_default()
}

pub(crate) fn kind(span: &Span) -> SpanKind {
    match span.side {
        Side::Server => SpanKind::Server,
        Side::Client => SpanKind::Client,
    }
}

pub(crate) fn status(span: &Span) -> Status {
    span.failed.clone().map_or(Status::Unset, |why| Status::Error { description: why })
}

pub(crate) fn events(span: &Span) -> Vec<Event> {
    let events = span.events.iter();
    events.map(|event| Event::new(event.name, event.at, attributes(&event.attributes), 0)).collect()
}

pub(crate) fn links(span: &Span) -> Vec<Link> {
    span.link.iter().map(|trace| Link::with_context(place(trace, true))).collect()
}

pub(crate) fn attributes(attributes: &[Attribute]) -> Vec<KeyValue> {
    let value = |value: &Value| match value {
        Value::Integer(number) => opentelemetry::Value::I64(*number),
        Value::Bool(bool) => opentelemetry::Value::Bool(*bool),
        text => opentelemetry::Value::String(text.to_string().into()),
    };
    attributes.iter().map(|(name, said)| KeyValue::new(name.clone(), value(said))).collect()
}
