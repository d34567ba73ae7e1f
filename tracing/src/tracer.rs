use crate::{Span, Tracing, TracingHandle, clock::Clock, record::Record, sampling::Sampler};
use std::{
    fmt, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};
use tokio::{sync::Notify, time::Instant};

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
    #[expect(
        clippy::vec_box,
        reason = "a record is boxed from the start of its call, and never moved"
    )]
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
    pub(crate) fn new(config: Tracing) -> Self {
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

    pub(crate) fn queued(&self) -> usize {
        self.queue().records.len()
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

impl Tracer {
    /// Reads the tracer's state, and changes its sampling.
    pub fn handle(&self) -> TracingHandle {
        TracingHandle(self.0.clone())
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
