//! What the `tracing` crate shows of a call.
//!
//! A process of its own: whether a span is on is decided once for the process, by the subscriber of
//! the thread that makes it first, so calls in the threads of other tests would turn it off.
#![cfg(feature = "tracing")]

use purlin_endpoint::{Context, Endpoint as _, Error, endpoint_fn};
use purlin_tracing::{Tracing, TracingLayer};
use std::{
    fmt,
    sync::{Arc, Mutex},
};
use tower::ServiceBuilder;
use tracing_subscriber::{Layer, Registry, layer::Context as Scope, prelude::*};

/// Keeps what each event's innermost span was called with.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

/// The fields of a span.
struct Ids(String);

impl tracing::field::Visit for Ids {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        self.0 = format!("{}{field}={value:?} ", self.0);
    }
}

impl Layer<Registry> for Seen {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::Id,
        scope: Scope<'_, Registry>,
    ) {
        let mut ids = Ids(String::new());
        attributes.record(&mut ids);
        scope.span(id).unwrap().extensions_mut().insert(ids);
    }

    fn on_event(&self, event: &tracing::Event<'_>, scope: Scope<'_, Registry>) {
        let span = scope.event_span(event).unwrap();
        self.0.lock().unwrap().push(span.extensions().get::<Ids>().unwrap().0.clone());
    }
}

#[test]
fn what_the_tracing_crate_logs_within_a_call_stands_in_a_span_with_its_ids() {
    let seen = Seen::default();
    let _subscriber = tracing::subscriber::set_default(Registry::default().with(seen.clone()));
    tokio_test::block_on(async {
        let (tracer, mut spans) = Tracing::new("test").tracer().unwrap();
        let logs = ServiceBuilder::new().layer(TracingLayer::server(&tracer)).service(endpoint_fn(
            |_: Context, ()| async move {
                tracing::info!("before");
                tokio::task::yield_now().await;
                tracing::info!("after");
                Ok::<_, Error>(())
            },
        ));
        logs.invoke(Context::new(), ()).await.unwrap();
        let trace = spans.take().pop().unwrap().trace;
        let ids = format!("trace_id={} span_id={} ", trace.trace_id(), trace.span_id());
        assert_eq!(*seen.0.lock().unwrap(), [ids.clone(), ids]);
    });
}
