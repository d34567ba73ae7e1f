use crate::{Span, Spans, Tracing, semconv, tracer::Shared};
use purlin_endpoint::{Backoff, Code, Error};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// Sends spans somewhere.
///
/// ```
/// use purlin_endpoint::Error;
/// use purlin_tracing::{Export, Resource, Span};
///
/// struct Print;
///
/// impl Export for Print {
///     async fn export(&mut self, resource: &Resource, spans: &[Span]) -> Result<(), Error> {
///         for span in spans {
///             println!("{}: {} in {:?}", resource.service(), span.name, span.trace.trace_id());
///         }
///         Ok(())
///     }
/// }
/// # let _ = Print;
/// ```
pub trait Export: Send {
    /// Sends these spans. It may be dropped half-way, when it takes too long.
    ///
    /// # Errors
    ///
    /// A [retryable](Error::is_retryable) one, after which the same spans come again, later; or
    /// another, after which they are given up.
    fn export(
        &mut self,
        resource: &Resource,
        spans: &[Span],
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Who makes the spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    service: String,
    attributes: BTreeMap<String, String>,
}

impl Resource {
    /// The name of the service.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// All that is known, the name of the service first.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        let more = self.attributes.iter().map(|(name, value)| (&**name, &**value));
        [(semconv::SERVICE_NAME, &*self.service)].into_iter().chain(more)
    }
}

/// The wait before a failed export is repeated.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500)).longest(Duration::from_secs(10));

impl Spans {
    /// Exports spans until told to stop, and then what is left.
    ///
    /// It is for the owner of the process's tasks, such as an actor of `purlin-run`. A batch that
    /// could not be exported is tried again, while as many further spans wait as there is
    /// [room](crate::Tracing::queue) for. What is left after the stop is tried once, in the time
    /// that [`patience`](crate::Tracing::patience) gives. Dropped half-way, it loses what was left.
    pub async fn export(mut self, exporter: impl Export, stop: impl Future<Output = ()>) {
        let shared = self.0.clone();
        let mut outbox = Outbox { exporter, resource: self.resource(), shared, spans: Vec::new() };
        tokio::select! {
            () = stop => {}
            () = self.export_forever(&mut outbox) => {}
        }
        outbox.spans.append(&mut self.take());
        let patience = self.0.config.patience;
        // What could not be sent in this time is counted as dropped.
        let _ = timeout(patience, outbox.send_all_once()).await;
    }

    async fn export_forever(&mut self, outbox: &mut Outbox<impl Export>) {
        let Tracing { interval, .. } = self.0.config;
        loop {
            tokio::select! {
                () = self.0.full.notified() => {}
                () = sleep(interval) => {}
            }
            outbox.spans.append(&mut self.take());
            outbox.send_all().await;
        }
    }

    fn resource(&self) -> Resource {
        let Tracing { service, resource, .. } = &self.0.config;
        Resource { service: service.clone(), attributes: resource.clone() }
    }
}

/// Spans on their way out. They stay here until they have been exported.
struct Outbox<E> {
    exporter: E,
    resource: Resource,
    shared: Arc<Shared>,
    spans: Vec<Span>,
}

impl<E: Export> Outbox<E> {
    async fn send_all(&mut self) {
        let mut failures = 0;
        while !self.spans.is_empty() {
            let Err(error) = self.send().await else {
                failures = 0;
                continue;
            };
            let wait = error.retry_delay();
            sleep(wait.unwrap_or_else(|| BACKOFF.wait(failures, fastrand::f64()))).await;
            failures += 1;
        }
    }

    async fn send_all_once(&mut self) {
        while !self.spans.is_empty() && self.send().await.is_ok() {}
    }

    /// Sends one batch. It fails if that may be tried again.
    async fn send(&mut self) -> Result<(), Error> {
        let Tracing { batch, patience, .. } = self.shared.config;
        let batch = batch.min(self.spans.len());
        let sending = self.exporter.export(&self.resource, &self.spans[..batch]);
        let sent = timeout(patience, sending).await;
        let counts = &self.shared.counts;
        let count = match sent {
            Ok(Ok(())) => &counts.exported,
            Ok(Err(error)) if error.is_retryable() => return Err(error),
            Ok(Err(_)) => &counts.refused,
            Err(_) => return Err(Error::of(Code::DeadlineExceeded)),
        };
        count.fetch_add(batch as u64, Relaxed);
        self.spans.drain(..batch);
        Ok(())
    }
}

impl<E> Drop for Outbox<E> {
    fn drop(&mut self) {
        self.shared.counts.dropped.fetch_add(self.spans.len() as u64, Relaxed);
    }
}
