use crate::{
    Span, Spans, Tracing, semconv,
    tracer::{Counts, Shared},
};
use purlin_endpoint::{Backoff, Code, Error};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

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

/// How long a batch is tried before it is given up, so that one which always fails is not in the
/// way of all others: longer than a server takes to start again.
const PERSISTENCE: Duration = Duration::from_secs(60);

/// The wait before a failed export is repeated.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500)).longest(Duration::from_secs(10));

impl Spans {
    /// Exports spans until told to stop, and then what is left.
    ///
    /// It is for the owner of the process's tasks, such as an actor of `purlin-run`. A batch that
    /// could not be exported is tried again for up to a minute, while as many further spans wait as there is
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
        let interval = self.0.config.interval;
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
        let (mut since, mut failures) = (Instant::now(), 0);
        while !self.spans.is_empty() {
            match self.send().await {
                Err(error) if since.elapsed() < PERSISTENCE => {
                    let wait = error.retry_delay();
                    sleep(wait.unwrap_or_else(|| BACKOFF.wait(failures, fastrand::f64()))).await;
                    failures += 1;
                    continue;
                }
                Err(_) => self.done(|counts| &counts.refused),
                Ok(()) => {}
            }
            (since, failures) = (Instant::now(), 0);
        }
    }

    async fn send_all_once(&mut self) {
        while !self.spans.is_empty() && self.send().await.is_ok() {}
    }

    /// Sends one batch. It fails if that may be tried again.
    async fn send(&mut self) -> Result<(), Error> {
        let batch = self.batch();
        let sending = self.exporter.export(&self.resource, &self.spans[..batch]);
        match timeout(self.shared.config.patience, sending).await {
            Ok(Ok(())) => self.done(|counts| &counts.exported),
            Ok(Err(error)) if error.is_retryable() => return Err(error),
            Ok(Err(_)) => self.done(|counts| &counts.refused),
            Err(_) => return Err(Error::of(Code::DeadlineExceeded)),
        }
        Ok(())
    }

    fn batch(&self) -> usize {
        self.shared.config.batch.min(self.spans.len())
    }

    /// One batch is out of the way.
    fn done(&mut self, count: fn(&Counts) -> &AtomicU64) {
        let batch = self.batch();
        count(&self.shared.counts).fetch_add(batch as u64, Relaxed);
        self.spans.drain(..batch);
    }
}

impl<E> Drop for Outbox<E> {
    fn drop(&mut self) {
        self.shared.counts.dropped.fetch_add(self.spans.len() as u64, Relaxed);
    }
}
