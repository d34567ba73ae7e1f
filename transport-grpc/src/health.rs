//! `grpc.health.v1`: what load balancers, orchestrators and clients ask.

use crate::server::{Names, Server};
use futures_core::Stream;
use prost::Message;
use purlin_endpoint::{Code, Context, Error, Method, Streaming, endpoint_fn};
use std::{
    collections::HashMap,
    future::pending,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll, ready},
};
use tokio::sync::watch;

static CHECK: Method = Method::unary("grpc.health.v1.Health", "Check").idempotent();
static LIST: Method = Method::unary("grpc.health.v1.Health", "List").idempotent();
static WATCH: Method = Method::server_streaming("grpc.health.v1.Health", "Watch").idempotent();

/// Knows whether services can serve just now.
///
/// A `tokio::sync::watch::Receiver<bool>` is one for the server as a whole: that is what
/// `purlin-health` hands out.
pub trait HealthSource: Send + Sync + 'static {
    /// Whether this service, or with an empty name the whole server, can serve; `None` if it is not
    /// known.
    fn is_serving(&self, service: &str) -> Option<bool>;

    /// Resolves with the first change after this was called.
    fn changed(&self) -> impl Future<Output = ()> + Send + 'static;
}

impl HealthSource for watch::Receiver<bool> {
    fn is_serving(&self, _: &str) -> Option<bool> {
        Some(*self.borrow())
    }

    fn changed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut receiver = self.clone();
        receiver.mark_unchanged();
        async move {
            // Nothing changes any more once the sender is gone.
            if watch::Receiver::changed(&mut receiver).await.is_err() {
                pending::<()>().await;
            }
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, Message)]
struct HealthListRequest {}

#[derive(Clone, PartialEq, Message)]
struct HealthListResponse {
    #[prost(map = "string, message", tag = "1")]
    statuses: HashMap<String, HealthCheckResponse>,
}

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;
const SERVICE_UNKNOWN: i32 = 3;

/// A source, and the services that there are.
struct Known<H> {
    source: H,
    names: Names,
}

impl<H: HealthSource> Known<H> {
    fn status(&self, service: &str) -> i32 {
        if !service.is_empty() && !self.names.has(service) {
            return SERVICE_UNKNOWN;
        }
        match self.source.is_serving(service) {
            Some(true) => SERVING,
            Some(false) => NOT_SERVING,
            None => SERVICE_UNKNOWN,
        }
    }
}

impl<F> Server<F> {
    /// Serves `grpc.health.v1.Health` for the services that are mounted.
    #[must_use]
    pub fn health(self, source: impl HealthSource) -> Self {
        let known = Arc::new(Known { source, names: self.names.clone() });
        let (check, list, watch) = (known.clone(), known.clone(), known);
        self.unary(
            &CHECK,
            endpoint_fn(move |_: Context, service: String| {
                let status = check.status(&service);
                async move {
                    if status == SERVICE_UNKNOWN {
                        return Err(Error::new(Code::NotFound, "there is no such service"));
                    }
                    Ok(status)
                }
            }),
            |request: HealthCheckRequest| Ok(request.service),
            |status| Ok(HealthCheckResponse { status }),
        )
        .unary(
            &LIST,
            endpoint_fn(move |_: Context, ()| {
                let names = std::iter::once("").chain(list.names.all());
                let statuses = names.map(|name| (name.to_owned(), list.status(name)));
                std::future::ready(Ok::<_, Error>(statuses.collect::<Vec<_>>()))
            }),
            |_: HealthListRequest| Ok(()),
            |statuses| {
                let statuses = statuses.into_iter();
                let statuses =
                    statuses.map(|(name, status)| (name, HealthCheckResponse { status }));
                Ok(HealthListResponse { statuses: statuses.collect() })
            },
        )
        .server_streaming(
            &WATCH,
            endpoint_fn(move |_: Context, service: String| {
                let watch = Watch { known: watch.clone(), service, last: None, changed: None };
                std::future::ready(Ok::<_, Error>(Streaming::new(watch)))
            }),
            |request: HealthCheckRequest| Ok(request.service),
            |status| Ok(HealthCheckResponse { status }),
        )
    }
}

/// The statuses of a service: the one it has, and each that it changes to.
struct Watch<H> {
    known: Arc<Known<H>>,
    service: String,
    last: Option<i32>,
    changed: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<H: HealthSource> Stream for Watch<H> {
    type Item = Result<i32, Error>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(changed) = &mut this.changed {
                ready!(changed.as_mut().poll(task));
            }
            // Asked for before the status is read, so that no change is missed between the two.
            this.changed = Some(Box::pin(this.known.source.changed()));
            let status = this.known.status(&this.service);
            if this.last.replace(status) != Some(status) {
                return Poll::Ready(Some(Ok(status)));
            }
        }
    }
}
