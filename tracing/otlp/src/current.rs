use crate::data;
use opentelemetry::trace::TraceContextExt as _;
use purlin_endpoint::{Call, End, Guard, Intercept, InterceptLayer, Intercepted, Layer, Observes};
use std::{convert::Infallible, sync::Arc};

/// Makes a call's place in its trace OpenTelemetry's current one while the call is worked on: for
/// libraries that ask for that, as their own instrumentation does.
///
/// It belongs inside of a [`TracingLayer`](purlin_tracing::TracingLayer), which sets the place.
/// Their spans go where the provider that made them sends them.
#[derive(Clone, Debug)]
pub struct CurrentLayer(InterceptLayer<Current, Observes>);

impl CurrentLayer {
    /// Shows the place of each call.
    pub fn new() -> Self {
        Self(InterceptLayer::observer(Current))
    }
}

impl Default for CurrentLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for CurrentLayer {
    type Service = Intercepted<Current, Observes, S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(inner)
    }
}

/// What all calls of a [`CurrentLayer`] share: nothing.
#[derive(Debug)]
pub struct Current;

impl<Req: Call> Intercept<Req> for Current {
    type Guard = Shown;
    type Refusal = Infallible;

    fn before(self: &Arc<Self>, request: &mut Req) -> Result<Shown, Infallible> {
        let place = request.context().trace().map(|trace| data::place(trace, false));
        let context =
            place.map(|place| opentelemetry::Context::new().with_remote_span_context(place));
        Ok(Shown(context))
    }

    fn name(&self) -> &'static str {
        "current"
    }
}

/// A call whose place is current while it is worked on.
#[derive(Debug)]
pub struct Shown(Option<opentelemetry::Context>);

impl<Res, Err> Guard<Res, Err> for Shown {
    fn end(self, _: End<'_>) {}

    fn enter(&self) -> impl Sized {
        self.0.clone().map(opentelemetry::Context::attach)
    }
}
