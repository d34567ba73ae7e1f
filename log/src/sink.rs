//! Where lines go.

use crate::{Level, queue::Lines};
use purlin_endpoint::catch_panic;
use std::{
    cell::Cell,
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(crate) type Writing = Box<dyn Write + Send>;

pub(crate) enum Sink {
    /// Written by whoever logs.
    Here(Mutex<Writing>),
    /// Written by a thread.
    Queue(Arc<Lines>),
    /// Handed on as events.
    #[cfg(feature = "tracing")]
    Tracing,
}

impl Sink {
    pub(crate) fn here(writer: impl Write + Send + 'static) -> Self {
        Self::Here(Mutex::new(Box::new(writer)))
    }

    /// Writes a line, and says whether that went well.
    pub(crate) fn write(&self, line: Text<'_>) -> bool {
        match self {
            Self::Here(writer) => {
                let mut writer = locked(writer);
                // Nobody's call fails for a writer that panics.
                catch_panic(|| writer.write_all(line.whole).is_ok()).unwrap_or(false)
            }
            Self::Queue(lines) => lines.put(line.whole),
            #[cfg(feature = "tracing")]
            Self::Tracing => crate::events::emit(line),
        }
    }

    pub(crate) fn flush(&self) -> io::Result<()> {
        match self {
            Self::Here(writer) => locked(writer).flush(),
            Self::Queue(lines) => lines.flush(),
            #[cfg(feature = "tracing")]
            Self::Tracing => Ok(()),
        }
    }

    /// How many lines were lost after this had taken them.
    #[inline]
    pub(crate) fn lost(&self) -> u64 {
        match self {
            Self::Queue(lines) => lines.lost(),
            _ => 0,
        }
    }

    /// What stands for this sink among those that are writing.
    fn id(&self) -> usize {
        match self {
            Self::Queue(lines) => lines.id(),
            _ => std::ptr::from_ref(self).addr(),
        }
    }

    /// Begins to write, unless this thread does so already: then the line comes from the writer
    /// itself, or has gone round in a circle.
    pub(crate) fn enter(&self) -> Option<Within> {
        Within::enter(self.id())
    }
}

/// A whole line, and what it is made of.
#[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "only events are taken apart"))]
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(crate) whole: &'a [u8],
    pub(crate) level: Level,
    /// Where the message ends, if nothing stands before it.
    pub(crate) message: usize,
}

fn locked(writer: &Mutex<Writing>) -> MutexGuard<'_, Writing> {
    // A writer that panicked once may work again.
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How deep sinks may lie in each other: one hands on to `tracing`, which another takes up.
const DEEP: usize = 4;

thread_local! {
    /// The sinks that this thread is writing to, the innermost first.
    static WITHIN: Cell<[usize; DEEP]> = const { Cell::new([0; DEEP]) };
}

/// Says, until it is dropped, that this thread writes to a sink.
pub(crate) struct Within([usize; DEEP]);

impl Within {
    #[inline]
    pub(crate) fn enter(id: usize) -> Option<Self> {
        let outer = WITHIN.get();
        let [a, b, c, d] = outer;
        if d != 0 || outer.contains(&id) {
            return None;
        }
        WITHIN.set([id, a, b, c]);
        Some(Self(outer))
    }
}

impl Drop for Within {
    #[inline]
    fn drop(&mut self) {
        WITHIN.set(self.0);
    }
}
