//! A bounded queue of lines, and the thread that writes them.

use crate::sink::Within;
use purlin_endpoint::{Invalid, catch_panic};
use std::{
    fmt,
    io::{self, Write},
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// How much may wait for a slow writer, and how long a stop waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub struct Queue {
    bytes: usize,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    patience: Duration,
}

/// One mebibyte, which is some five thousand calls, and five seconds.
impl Default for Queue {
    fn default() -> Self {
        Self { bytes: 1 << 20, patience: Duration::from_secs(5) }
    }
}

impl Queue {
    /// Lets lines of so many bytes in all wait; at most as many more are being written meanwhile.
    pub fn bytes(bytes: usize) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// Waits so long for the writer at a flush and at the stop.
    #[must_use]
    pub const fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Starts a thread that writes what is put into the queue.
    pub(crate) fn start(
        self,
        writer: impl Write + Send + 'static,
    ) -> io::Result<(Arc<Lines>, Background)> {
        if self.bytes == 0 {
            let why = Invalid { field: "bytes", why: "must be at least the length of a line" };
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let lines = Arc::new(Lines {
            queue: self,
            state: Mutex::default(),
            filled: Condvar::new(),
            written: Condvar::new(),
            lost: AtomicU64::new(0),
        });
        let writing = lines.clone();
        let run = move || writing.write_all_to(writer);
        let thread = thread::Builder::new().name("purlin-log".into()).spawn(run)?;
        Ok((lines.clone(), Background { lines, thread: Some(thread) }))
    }
}

/// The thread that writes a [queued](crate::Logger::queued) logger's lines.
///
/// `main` keeps it to its end and [stops](Self::stop) it there; dropping it does the same and says
/// nothing. What is logged after that is counted as dropped.
#[must_use = "lines are written until this is dropped"]
pub struct Background {
    lines: Arc<Lines>,
    /// `None` once it was stopped.
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Writes what was logged before, flushes the writer and ends the thread.
    ///
    /// It blocks until then, or until the queue's patience is over. A thread that hangs in its
    /// writer can't be ended: it is left behind.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) if lines were not written in time, or what the writer
    /// has said since it was asked last.
    pub fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        self.lines.state().closed = true;
        self.lines.filled.notify_one();
        let outcome = self.lines.wait(|state| !state.ended);
        if self.lines.state().ended {
            // It does nothing more, and any panic of the writer's was caught.
            let _ = thread.join();
        }
        outcome
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background").field("lines", &self.lines).finish_non_exhaustive()
    }
}

/// How long the thread waits for more lines after it has written some.
const LINGER: Duration = Duration::from_millis(1);

/// Lines on their way to a writer.
pub(crate) struct Lines {
    queue: Queue,
    state: Mutex<State>,
    /// Tells the thread that there is something to do.
    filled: Condvar,
    /// Tells those who wait that the thread has done something.
    written: Condvar,
    /// How many lines the writer has failed to write.
    lost: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// How many lines were ever put in, and how many of these the thread is done with.
    put: u64,
    done: u64,
    /// The thread waits for a line, for however long.
    asleep: bool,
    /// What the writer said last, if it was not asked since.
    error: Option<io::Error>,
    /// Nothing more is put in.
    closed: bool,
    /// The thread does nothing more.
    ended: bool,
}

impl Lines {
    /// Puts a line in, if there is room.
    pub(crate) fn put(&self, line: &[u8]) -> bool {
        let mut state = self.state();
        if state.closed || line.len() > self.queue.bytes.saturating_sub(state.waiting.len()) {
            return false;
        }
        let few = state.waiting.len() < self.many();
        state.waiting.extend_from_slice(line);
        state.put += 1;
        let wake = mem::take(&mut state.asleep) || few && state.waiting.len() >= self.many();
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        true
    }

    /// How many bytes are worth waking the thread for.
    const fn many(&self) -> usize {
        self.queue.bytes / 2
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Waits until what was put in so far is written.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let put = self.state().put;
        self.wait(|state| state.done < put && !state.ended)
    }

    fn wait(&self, mut busy: impl FnMut(&mut State) -> bool) -> io::Result<()> {
        let patience = self.queue.patience;
        let waited = self.written.wait_timeout_while(self.state(), patience, &mut busy);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if busy(&mut state) {
            let left = state.put - state.done;
            let text = format!("{left} lines are not written after {patience:?}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        state.error.take().map_or(Ok(()), Err)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The work of the thread.
    fn write_all_to(&self, mut writer: impl Write) {
        let mut chunk = Vec::new();
        let mut torn = false;
        // What the writer itself logs would keep it busy for ever.
        let _within = Within::enter(self.id());
        while let Some(done) = self.take(&mut chunk) {
            let (rest, outcome) = write_chunk(&mut writer, &mut torn, &chunk);
            let lost = rest.iter().filter(|byte| **byte == b'\n').count();
            self.lost.fetch_add(lost as u64, Relaxed);
            chunk.clear();
            let mut state = self.state();
            state.done = done;
            if let Err(error) = outcome {
                state.error = Some(error);
            }
            drop(state);
            self.written.notify_all();
        }
        let _ = catch_panic(move || drop(writer));
        self.state().ended = true;
        self.written.notify_all();
    }

    /// Waits for lines, and how many were put in with them; `None` when there will be no more.
    fn take(&self, chunk: &mut Vec<u8>) -> Option<u64> {
        // Lines come in numbers, and to wake the thread costs a call more than the line does.
        let few = |state: &mut State| state.waiting.len() < self.many() && !state.closed;
        let waited = self.filled.wait_timeout_while(self.state(), LINGER, few);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.asleep = true;
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let waited = self.filled.wait_while(state, idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.asleep = false;
        mem::swap(chunk, &mut state.waiting);
        (!chunk.is_empty()).then_some(state.put)
    }

    /// What stands for this writer among those that are writing.
    pub(crate) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// Writes lines and flushes, and returns what could not be written.
///
/// A line that was cut off is ended by the next chunk, so that no other is taken for its rest.
fn write_chunk<'a>(
    writer: &mut impl Write,
    torn: &mut bool,
    chunk: &'a [u8],
) -> (&'a [u8], io::Result<()>) {
    let mut rest = chunk;
    let outcome = catch_panic(|| {
        if *torn {
            writer.write_all(b"\n")?;
            *torn = false;
        }
        while !rest.is_empty() {
            match writer.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        writer.flush()
    });
    let written = chunk.len() - rest.len();
    *torn |= written > 0 && chunk[written - 1] != b'\n';
    let panicked = |panicked| Err(io::Error::other(panicked));
    (rest, outcome.unwrap_or_else(panicked))
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("queue", &self.queue).finish_non_exhaustive()
    }
}
