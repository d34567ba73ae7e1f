use crate::{Sampling, Span, record::Record, sampling::Sampler};
use purlin_endpoint::{Inspect, Invalid};
use std::{
    collections::BTreeMap,
    fmt, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};
use tokio::{sync::Notify, time::Instant};

/// What is recorded, for whom, and how much of it is kept until it is exported.
///
/// ```
/// use purlin_tracing::{Sampling, Tracing};
///
/// let tracing = Tracing::new("greeter").sampling(Sampling::ratio(0.1)).resource("host.name", "a");
/// let (tracer, spans) = tracing.tracer()?;
/// # let _ = (tracer, spans);
/// # Ok::<_, purlin_endpoint::Invalid>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub struct Tracing {
    pub(crate) service: String,
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) sampling: Sampling,
    pub(crate) queue: usize,
    pub(crate) batch: usize,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    pub(crate) interval: Duration,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    pub(crate) patience: Duration,
}

/// OpenTelemetry's defaults for its batch processor: a queue of 2048 spans, batches of 512, one at
/// least every 5 s. An export, and the last flush, may take 5 s.
impl Default for Tracing {
    fn default() -> Self {
        Self {
            service: "unknown_service".to_owned(),
            resource: BTreeMap::new(),
            sampling: Sampling::default(),
            queue: 2048,
            batch: 512,
            interval: Duration::from_secs(5),
            patience: Duration::from_secs(5),
        }
    }
}

impl Tracing {
    /// Records the calls of this service.
    pub fn new(service: impl Into<String>) -> Self {
        Self { service: service.into(), ..Self::default() }
    }

    /// Says more about whoever makes the spans, as in `service.version`.
    #[must_use]
    pub fn resource(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.resource.insert(name.into(), value.into());
        self
    }

    /// Records these calls.
    #[must_use]
    pub fn sampling(self, sampling: Sampling) -> Self {
        Self { sampling, ..self }
    }

    /// Keeps so many spans until they are exported. Further ones are dropped and counted.
    #[must_use]
    pub fn queue(self, spans: usize) -> Self {
        Self { queue: spans, ..self }
    }

    /// Exports no more than so many spans at once, and as soon as there are as many.
    #[must_use]
    pub fn batch(self, spans: usize) -> Self {
        Self { batch: spans, ..self }
    }

    /// Exports what there is after this time at the latest.
    #[must_use]
    pub fn interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// Gives each export, and the whole of the last flush, this much time.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Makes what layers record with, and what [exports](Spans::export) the spans.
    ///
    /// # Errors
    ///
    /// If the sampling's ratio is not within 0 to 1 or its rate is not above 0, the queue or the
    /// batch has no room, or an interval is zero.
    pub fn tracer(self) -> Result<(Tracer, Spans), Invalid> {
        self.sampling.check()?;
        for (field, size) in [("queue", self.queue), ("batch", self.batch)] {
            if size == 0 {
                return Err(Invalid { field, why: "must be at least 1" });
            }
        }
        for (field, time) in [("interval", self.interval), ("patience", self.patience)] {
            if time.is_zero() {
                return Err(Invalid { field, why: "must be more than zero" });
            }
        }
        let shared = Arc::new(Shared::new(self));
        Ok((Tracer(shared.clone()), Spans(shared)))
    }
}

/// Decides which calls are recorded, and keeps their spans until they are exported.
///
/// Clones are one tracer. It is not global: who wants spans is given one.
#[derive(Clone)]
pub struct Tracer(pub(crate) Arc<Shared>);

/// The spans that wait to be exported.
///
/// There is one for each tracer. Dropped, no more spans are kept.
pub struct Spans(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) config: Tracing,
    pub(crate) sampler: Sampler,
    queue: Mutex<Queue>,
    pub(crate) full: Notify,
    clock: Clock,
    pub(crate) counts: Counts,
}

struct Queue {
    records: Vec<Box<Record>>,
    closed: bool,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) exported: AtomicU64,
    /// No room was left, or nobody was there to export them.
    pub(crate) dropped: AtomicU64,
    /// The exporter has refused them for good, or failed for too long.
    pub(crate) refused: AtomicU64,
}

impl Shared {
    fn new(config: Tracing) -> Self {
        let records = Vec::with_capacity(config.queue);
        Self {
            sampler: Sampler::new(config.sampling),
            queue: Mutex::new(Queue { records, closed: false }),
            full: Notify::new(),
            clock: Clock::new(),
            counts: Counts::default(),
            config,
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when the tracer is there.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.clock.start)
    }

    /// Keeps a record until it is exported, if there is room.
    pub(crate) fn keep(&self, record: Box<Record>) {
        let mut queue = self.queue();
        if queue.closed || queue.records.len() >= self.config.queue {
            drop(queue);
            self.counts.dropped.fetch_add(1, Relaxed);
            return;
        }
        queue.records.push(record);
        let full = queue.records.len() == self.config.batch;
        drop(queue);
        if full {
            self.full.notify_one();
        }
    }
}

impl Spans {
    /// Takes what waits to be exported: for tests, and for a loop of your own.
    pub fn take(&mut self) -> Vec<Span> {
        let room = Vec::with_capacity(self.0.config.queue);
        let records = mem::replace(&mut self.0.queue().records, room);
        let clock = &self.0.clock;
        clock.adjust(Instant::now(), SystemTime::now());
        records.into_iter().map(|record| record.span(|at| clock.world(at))).collect()
    }
}

impl Drop for Spans {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.closed = true;
        let left = mem::take(&mut queue.records);
        drop(queue);
        self.0.counts.dropped.fetch_add(left.len() as u64, Relaxed);
    }
}

/// Tells the instants of calls in the world's time, which calls don't read.
struct Clock {
    start: Instant,
    /// The world's time at the start, in nanoseconds since 1970.
    world: AtomicI64,
}

/// By so much the world's clock may seem to have been set while it was only read slowly.
const JITTER: Duration = Duration::from_millis(1);

impl Clock {
    fn new() -> Self {
        let clock = Self { start: Instant::now(), world: AtomicI64::new(0) };
        clock.adjust(clock.start, SystemTime::now());
        clock
    }

    /// Follows the world's clock where it was set.
    fn adjust(&self, now: Instant, world: SystemTime) {
        let since = world.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let start = nanos(since) - nanos(now.saturating_duration_since(self.start));
        if start.abs_diff(self.world.load(Relaxed)) > JITTER.as_nanos() as u64 {
            self.world.store(start, Relaxed);
        }
    }

    fn world(&self, at: Instant) -> SystemTime {
        let start = Duration::from_nanos(self.world.load(Relaxed).max(0) as u64);
        let start = SystemTime::UNIX_EPOCH + start;
        match at.checked_duration_since(self.start) {
            Some(after) => start + after,
            None => start - self.start.saturating_duration_since(at),
        }
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl Tracer {
    /// Reads the tracer's state, and changes its sampling.
    pub fn handle(&self) -> TracingHandle {
        TracingHandle(self.0.clone())
    }
}

/// Reads the state of a [`Tracer`], and changes its sampling while calls run.
#[derive(Clone)]
pub struct TracingHandle(Arc<Shared>);

impl TracingHandle {
    /// Which calls are recorded just now.
    pub fn sampling(&self) -> Sampling {
        self.0.sampler.config()
    }

    /// Records these calls from now on.
    ///
    /// # Errors
    ///
    /// If its ratio is not within 0 to 1 or its rate is not above 0; then nothing is changed.
    pub fn update(&self, sampling: Sampling) -> Result<(), Invalid> {
        sampling.check()?;
        self.0.sampler.update(sampling);
        Ok(())
    }

    /// How many spans wait to be exported.
    pub fn queued(&self) -> usize {
        self.0.queue().records.len()
    }

    /// How many spans were exported.
    pub fn exported(&self) -> u64 {
        self.0.counts.exported.load(Relaxed)
    }

    /// How many spans were dropped since no room was left for them.
    pub fn dropped(&self) -> u64 {
        self.0.counts.dropped.load(Relaxed)
    }

    /// How many spans the exporter has refused, or failed to export for a minute.
    pub fn refused(&self) -> u64 {
        self.0.counts.refused.load(Relaxed)
    }
}

impl Inspect for TracingHandle {
    fn name(&self) -> String {
        "tracing".into()
    }

    fn snapshot(&self) -> String {
        let Sampling { ratio, at_most, parent } = self.sampling();
        let at_most = at_most.map_or_else(|| "null".to_owned(), |limit| limit.to_string());
        format!(
            r#"{{"sampling":{{"ratio":{ratio},"at_most":{at_most},"parent":{parent}}},"queued":{},"exported":{},"dropped":{},"refused":{}}}"#,
            self.queued(),
            self.exported(),
            self.dropped(),
            self.refused(),
        )
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracing").field("config", &self.config).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracer").field(&self.0.config).finish()
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spans").field(&self.0.config).finish()
    }
}

impl fmt::Debug for TracingHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TracingHandle").field(&self.0.config).finish()
    }
}
