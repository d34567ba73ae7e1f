//! What all clones of a logger share: the writer, the level, and what was not written.

use crate::{
    Format, Level, Logger, Sampling,
    dial::Dial,
    sampling::{Sampler, Suppressed},
    sink::{Sink, Text},
};
use purlin_endpoint::Invalid;
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};
use tokio::time::Instant;

pub(crate) struct Shared {
    pub(crate) format: Format,
    pub(crate) dial: Dial,
    pub(crate) sink: Sink,
    dropped: AtomicU64,
    /// How many of them were said to be missing.
    said: AtomicU64,
    sampling: AtomicBool,
    sampler: Mutex<Option<Sampler>>,
    suppressed: AtomicU64,
}

impl Shared {
    pub(crate) fn new(format: Format, sink: Sink) -> Self {
        Self {
            format,
            sink,
            dial: Dial::new(Level::Info as u8),
            dropped: AtomicU64::new(0),
            said: AtomicU64::new(0),
            sampling: AtomicBool::new(false),
            sampler: Mutex::new(None),
            suppressed: AtomicU64::new(0),
        }
    }

    /// Writes all that stands before a line's fields, and returns where the message ends.
    pub(crate) fn begin(
        &self,
        text: &mut Vec<u8>,
        clock: fn() -> SystemTime,
        level: Level,
        message: &str,
    ) -> usize {
        match self.sink {
            // An event has a time and a level of its own.
            #[cfg(feature = "tracing")]
            Sink::Tracing => crate::escape::escape(text, message),
            _ => self.format.begin(text, clock(), level, message),
        }
        text.len()
    }

    pub(crate) fn write(&self, line: Text<'_>) -> bool {
        let within = self.sink.enter();
        within.is_some() && self.sink.write(line)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed) + self.sink.lost()
    }

    pub(crate) fn suppressed(&self) -> u64 {
        self.suppressed.load(Relaxed)
    }

    fn sampler(&self) -> MutexGuard<'_, Option<Sampler>> {
        // Nothing panics while it holds the lock.
        self.sampler.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Logger {
    /// Whether this thread is writing to this logger: what is logged now comes from its writer.
    #[cfg(any(feature = "log", feature = "tracing"))]
    pub(crate) fn is_writing(&self) -> bool {
        self.shared.sink.enter().is_none()
    }

    /// Writes a whole line, or counts it as dropped.
    #[inline]
    pub(crate) fn write(&self, line: Text<'_>) {
        let shared = &*self.shared;
        if !shared.write(line) {
            shared.dropped.fetch_add(1, Relaxed);
        } else if shared.dropped() != shared.said.load(Relaxed) {
            self.say_dropped();
        }
    }

    #[cold]
    fn say_dropped(&self) {
        let shared = &*self.shared;
        let dropped = shared.dropped();
        let said = shared.said.fetch_max(dropped, Relaxed);
        // Another thread may have said it meanwhile.
        if said >= dropped {
            return;
        }
        let line = self.begun(Level::Warn, "lines dropped", true).field("lines", dropped - said);
        if !line.try_send() {
            // What this line is about is still to be said.
            shared.said.fetch_min(said, Relaxed);
        }
    }

    pub(crate) fn sample(&self, sampling: Option<Sampling>) -> Result<(), Invalid> {
        sampling.iter().try_for_each(Sampling::check)?;
        self.say_all();
        let mut sampler = self.shared.sampler();
        *sampler = sampling.map(Sampler::new);
        self.shared.sampling.store(sampler.is_some(), Relaxed);
        Ok(())
    }

    /// Says what was suppressed and dropped, and not said yet.
    pub(crate) fn say_all(&self) {
        let suppressed = self.shared.sampler().as_mut().map(Sampler::take);
        self.say_suppressed(suppressed.unwrap_or_default());
        self.say_dropped();
    }

    #[inline]
    pub(crate) fn admits(&self, level: Level, kind: &[&str]) -> bool {
        !self.shared.sampling.load(Relaxed) || self.sampled(level, kind)
    }

    #[cold]
    fn sampled(&self, level: Level, kind: &[&str]) -> bool {
        let now = Instant::now();
        let sampled = self.shared.sampler().as_mut().map(|sampler| sampler.admit(level, kind, now));
        let Some((admitted, told)) = sampled else { return true };
        if !admitted {
            self.shared.suppressed.fetch_add(1, Relaxed);
        }
        self.say_suppressed(told);
        admitted
    }

    fn say_suppressed(&self, told: Vec<Suppressed>) {
        for Suppressed { level, text, lines } in told {
            let line = self.begun(level, "lines suppressed", true);
            line.field("of", &*text).field("lines", lines).send();
        }
    }
}
