use crate::{Format, Level, Value};
use std::{
    cell::Cell,
    fmt,
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::SystemTime,
};

/// Writes lines of fields. Its clones, and those [with](Self::with) more fields, share one writer
/// and one level.
///
/// ```
/// use purlin_log::{Level, Logger};
///
/// let logger = Logger::json(std::io::stderr()).level(Level::Debug).with("service", "greeter");
/// logger.info("listening").field("port", 9110).send();
/// assert_eq!(logger.dropped(), 0);
/// ```
///
/// A line is written by one call of the writer's `write_all`, so that lines never mix. A line that
/// can't be written is [counted](Self::dropped), and nobody's call fails for it.
#[derive(Clone)]
pub struct Logger {
    shared: Arc<Shared>,
    /// The fields of all lines, written once.
    fields: Arc<[u8]>,
    clock: fn() -> SystemTime,
}

struct Shared {
    format: Format,
    level: AtomicU8,
    dropped: AtomicU64,
    writer: Mutex<Box<dyn Write + Send>>,
}

/// The level above all others, where nothing is written.
const OFF: u8 = Level::Error as u8 + 1;

impl Logger {
    /// Writes lines of this format.
    pub fn new(format: Format, writer: impl Write + Send + 'static) -> Self {
        let shared = Shared {
            format,
            level: AtomicU8::new(Level::Info as u8),
            dropped: AtomicU64::new(0),
            writer: Mutex::new(Box::new(writer)),
        };
        Self { shared: Arc::new(shared), fields: Arc::default(), clock: SystemTime::now }
    }

    /// Writes [logfmt](Format::Logfmt).
    pub fn logfmt(writer: impl Write + Send + 'static) -> Self {
        Self::new(Format::Logfmt, writer)
    }

    /// Writes [JSON](Format::Json).
    pub fn json(writer: impl Write + Send + 'static) -> Self {
        Self::new(Format::Json, writer)
    }

    /// Writes [for people](Format::Pretty).
    pub fn pretty(writer: impl Write + Send + 'static) -> Self {
        Self::new(Format::Pretty, writer)
    }

    /// Writes nothing, and takes no time over it.
    pub fn discard() -> Self {
        let logger = Self::new(Format::Logfmt, io::sink());
        logger.shared.level.store(OFF, Ordering::Relaxed);
        logger
    }

    /// Writes lines of this level and above, [info](Level::Info) and above if nobody says.
    #[must_use]
    pub fn level(self, level: Level) -> Self {
        self.set_level(level);
        self
    }

    /// Reads the time of each line here instead of from the system.
    #[must_use]
    pub fn clock(self, clock: fn() -> SystemTime) -> Self {
        Self { clock, ..self }
    }

    /// Adds a field to all lines of this logger, behind those it has.
    #[must_use]
    pub fn with<'v>(&self, key: &str, value: impl Into<Value<'v>>) -> Self {
        let mut fields = self.fields.to_vec();
        self.shared.format.field(&mut fields, key, value.into());
        Self { fields: fields.into(), ..self.clone() }
    }

    /// Changes the level of this logger and all that share it, from the next line on.
    pub fn set_level(&self, level: Level) {
        self.shared.level.store(level as u8, Ordering::Relaxed);
    }

    /// Whether lines of this level are written just now.
    pub fn enabled(&self, level: Level) -> bool {
        level as u8 >= self.shared.level.load(Ordering::Relaxed)
    }

    /// How many lines could not be written since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Flushes the writer, for the end of `main`.
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub fn flush(&self) -> io::Result<()> {
        self.shared.writer().flush()
    }

    /// Begins a line for whoever is looking for a fault.
    pub fn debug(&self, message: &str) -> Line<'_> {
        self.line(Level::Debug, message)
    }

    /// Begins a line about the ordinary course of things.
    pub fn info(&self, message: &str) -> Line<'_> {
        self.line(Level::Info, message)
    }

    /// Begins a line about something that is not as it should be.
    pub fn warn(&self, message: &str) -> Line<'_> {
        self.line(Level::Warn, message)
    }

    /// Begins a line about a failure.
    pub fn error(&self, message: &str) -> Line<'_> {
        self.line(Level::Error, message)
    }

    /// Begins a line of this level.
    pub fn line(&self, level: Level, message: &str) -> Line<'_> {
        let text = self.enabled(level).then(|| {
            let mut text = BUFFER.take();
            self.shared.format.begin(&mut text, (self.clock)(), level, message);
            text.extend_from_slice(&self.fields);
            text
        });
        Line { logger: self, text }
    }
}

impl Shared {
    fn writer(&self) -> impl std::ops::DerefMut<Target = Box<dyn Write + Send>> {
        // A writer that panicked once may work again.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes logfmt to the standard error.
impl Default for Logger {
    fn default() -> Self {
        Self::logfmt(io::stderr())
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger")
            .field("format", &self.shared.format)
            .field("fields", &String::from_utf8_lossy(&self.fields))
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

thread_local! {
    /// The room of the last line of this thread, for the next one.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What one long line may leave behind for the next.
const KEPT: usize = 16 * 1024;

/// A line on its way: [`send`](Self::send) writes it.
#[must_use = "a line is written by its `send`"]
pub struct Line<'a> {
    logger: &'a Logger,
    /// `None` if the level is not written.
    text: Option<Vec<u8>>,
}

impl Line<'_> {
    /// Adds a field.
    pub fn field<'v>(mut self, key: &str, value: impl Into<Value<'v>>) -> Self {
        if let Some(text) = &mut self.text {
            self.logger.shared.format.field(text, key, value.into());
        }
        self
    }

    /// Adds a field that is only worked out if the line is written.
    pub fn lazy<'v, V: Into<Value<'v>>>(self, key: &str, value: impl FnOnce() -> V) -> Self {
        match self.text {
            Some(_) => self.field(key, value()),
            None => self,
        }
    }

    /// Adds fields straight to the line's text, if it is written.
    pub(crate) fn write(mut self, write: impl FnOnce(Format, &mut Vec<u8>)) -> Self {
        if let Some(text) = &mut self.text {
            write(self.logger.shared.format, text);
        }
        self
    }

    /// Writes the line.
    pub fn send(self) {
        let Some(mut text) = self.text else { return };
        let shared = &*self.logger.shared;
        shared.format.finish(&mut text);
        let written = shared.writer().write_all(&text);
        if written.is_err() {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if text.capacity() <= KEPT {
            text.clear();
            BUFFER.set(text);
        }
    }
}

impl fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.as_deref().map(String::from_utf8_lossy);
        f.debug_tuple("Line").field(&text).finish()
    }
}
