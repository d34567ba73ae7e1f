use crate::{
    Background, Fields, Format, Handle, Level, Line, Queue, Sampling, Value, dial::OFF,
    line::BUFFER, secret::Names, shared::Shared, sink::Sink,
};
use purlin_endpoint::{Invalid, catch_panic};
use std::{
    fmt,
    io::{self, Write},
    panic::Location,
    sync::Arc,
    time::SystemTime,
};

/// Writes lines of fields. Its clones, and those [with](Self::with) more fields, share one writer,
/// one level and one [sampling](Self::sampling).
///
/// ```
/// use purlin_log::{Level, Logger};
///
/// let logger = Logger::json(std::io::stderr()).level(Level::Debug).with("service", "greeter");
/// logger.info("listening").field("port", 9110).send();
/// assert_eq!(logger.dropped(), 0);
/// ```
///
/// A line is written by one call of the writer's `write_all`, so that lines never mix, by whoever
/// logs; a [queued](Self::queued) logger never lets a call wait for its writer. A line that can't be
/// written is [counted](Self::dropped), and said to be missing in the next that can; nobody's call
/// fails for it, even if the writer panics.
#[derive(Clone)]
pub struct Logger {
    pub(crate) shared: Arc<Shared>,
    parts: Arc<[Part]>,
    secrets: Arc<Names>,
    clock: fn() -> SystemTime,
    caller: bool,
}

/// Fields of all lines.
#[derive(Clone)]
enum Part {
    /// Written once.
    Written(Vec<u8>),
    /// Worked out for each line.
    Each(Arc<dyn Fn(&mut Fields<'_>) + Send + Sync>),
}

impl Logger {
    /// Writes lines of this format.
    pub fn new(format: Format, writer: impl Write + Send + 'static) -> Self {
        Self::to(format, Sink::here(writer))
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
        logger.shared.dial.set(OFF);
        logger
    }

    /// Hands lines to a thread of its own, which writes them: no call waits for a slow writer.
    ///
    /// When the queue is full, lines are dropped and counted. A flush, and the end of what this
    /// returns beside the logger, wait until all is written. Many lines may be one call of the
    /// writer's `write`, which is flushed after each.
    ///
    /// ```
    /// use purlin_log::{Format, Logger, Queue};
    ///
    /// let (log, background) = Logger::queued(Format::Json, std::io::stderr(), Queue::default())?;
    /// log.info("listening").field("port", 9110).send();
    /// background.stop()?;
    /// # assert_eq!(log.dropped(), 0);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the queue has no room, or no thread can be started.
    pub fn queued(
        format: Format,
        writer: impl Write + Send + 'static,
        queue: Queue,
    ) -> io::Result<(Self, Background)> {
        let (lines, background) = queue.start(writer)?;
        Ok((Self::to(format, Sink::Queue(lines)), background))
    }

    pub(crate) fn to(format: Format, sink: Sink) -> Self {
        Self {
            shared: Arc::new(Shared::new(format, sink)),
            parts: Arc::default(),
            secrets: Arc::default(),
            clock: SystemTime::now,
            caller: false,
        }
    }

    /// Writes lines of this level and above, [info](Level::Info) and above if nobody says.
    #[must_use]
    pub fn level(self, level: Level) -> Self {
        self.set_level(level);
        self
    }

    /// Writes not all of the lines that repeat themselves.
    ///
    /// # Errors
    ///
    /// If none would be written, or an interval is empty.
    pub fn sampling(self, sampling: Sampling) -> Result<Self, Invalid> {
        self.sample(Some(sampling))?;
        Ok(self)
    }

    /// Hides the values of fields with these names too.
    ///
    /// Hidden are already `authorization`, `password`, `passwd`, `passphrase`, `secret`, `token`,
    /// `cookie`, `api_key`, `access_key`, `private_key`, `credentials` and `jwt`: in any case, with
    /// any marks between their words, and behind other words, as in `x-auth-token` or `dbPassword`.
    /// A value that is secret by its type is a [`Secret`](crate::Secret).
    #[must_use]
    pub fn secrets<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        let secrets = Arc::make_mut(&mut self.secrets);
        names.into_iter().for_each(|name| secrets.add(name));
        self
    }

    /// Adds to each line where in the source it was begun, as in `caller=src/main.rs:21`.
    #[must_use]
    pub fn caller(self) -> Self {
        Self { caller: true, ..self }
    }

    /// Reads the time of each line here instead of from the system.
    #[must_use]
    pub fn clock(self, clock: fn() -> SystemTime) -> Self {
        Self { clock, ..self }
    }

    /// Adds a field to all lines of this logger, behind those it has.
    #[must_use]
    pub fn with<'v>(&self, key: &str, value: impl Into<Value<'v>>) -> Self {
        let mut parts = self.parts.to_vec();
        let mut written = match parts.pop() {
            Some(Part::Written(written)) => written,
            part => {
                parts.extend(part);
                Vec::new()
            }
        };
        self.fields(&mut written).add(key, value);
        parts.push(Part::Written(written));
        Self { parts: parts.into(), ..self.clone() }
    }

    /// Adds fields to all lines of this logger that are worked out for each line that is written.
    #[must_use]
    pub fn with_each(&self, fields: impl Fn(&mut Fields<'_>) + Send + Sync + 'static) -> Self {
        let mut parts = self.parts.to_vec();
        parts.push(Part::Each(Arc::new(fields)));
        Self { parts: parts.into(), ..self.clone() }
    }

    /// Changes the level of this logger and all that share it, from the next line on.
    pub fn set_level(&self, level: Level) {
        self.shared.dial.set(level as u8);
    }

    /// Reads and changes what all that share this logger do, while they run.
    pub fn handle(&self) -> Handle {
        Handle(self.clone())
    }

    /// Whether lines of this level are written just now.
    #[inline]
    pub fn enabled(&self, level: Level) -> bool {
        level as u8 >= self.shared.dial.least()
    }

    /// How many lines could not be written since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped()
    }

    /// Says what was suppressed and dropped so far, and flushes the writer, for the end of `main`.
    ///
    /// # Errors
    ///
    /// What the writer says. Of a [queued](Self::queued) logger,
    /// [`TimedOut`](io::ErrorKind::TimedOut) if lines were not written in time.
    pub fn flush(&self) -> io::Result<()> {
        self.say_all();
        self.shared.sink.flush()
    }

    /// Begins a line for whoever is looking for a fault.
    #[track_caller]
    pub fn debug(&self, message: &str) -> Line<'_> {
        self.line(Level::Debug, message)
    }

    /// Begins a line about the ordinary course of things.
    #[track_caller]
    pub fn info(&self, message: &str) -> Line<'_> {
        self.line(Level::Info, message)
    }

    /// Begins a line about something that is not as it should be.
    #[track_caller]
    pub fn warn(&self, message: &str) -> Line<'_> {
        self.line(Level::Warn, message)
    }

    /// Begins a line about a failure.
    #[track_caller]
    pub fn error(&self, message: &str) -> Line<'_> {
        self.line(Level::Error, message)
    }

    /// Begins a line of this level.
    #[track_caller]
    pub fn line(&self, level: Level, message: &str) -> Line<'_> {
        let caller = Location::caller();
        self.line_at(level, message, Some(caller.file()), Some(caller.line()))
    }

    /// Begins a line that was begun there in the source, if that is known.
    pub(crate) fn line_at(
        &self,
        level: Level,
        message: &str,
        file: Option<&str>,
        number: Option<u32>,
    ) -> Line<'_> {
        let line = self.line_of(level, &[message]);
        match (file, number) {
            (Some(file), Some(number)) if self.caller => {
                line.field("caller", &format_args!("{file}:{number}"))
            }
            _ => line,
        }
    }

    /// Begins a line that is alike to others if all of these texts are, of which the first is the
    /// message.
    pub(crate) fn line_of(&self, level: Level, kind: &[&str]) -> Line<'_> {
        let written = self.enabled(level) && self.admits(level, kind);
        self.begun(level, kind.first().copied().unwrap_or_default(), written)
    }

    pub(crate) fn begun(&self, level: Level, message: &str, written: bool) -> Line<'_> {
        if !written {
            return Line { logger: self, level, message: 0, text: None };
        }
        let mut text = BUFFER.take();
        let message = self.shared.begin(&mut text, self.clock, level, message);
        for part in &*self.parts {
            match part {
                Part::Written(written) => text.extend_from_slice(written),
                Part::Each(fields) => self.add(&mut text, |added| fields(added)),
            }
        }
        Line { logger: self, level, message, text: Some(text) }
    }

    /// Adds fields that a function of the user's works out. If it panics, they are lost and the line
    /// is not.
    pub(crate) fn add(&self, text: &mut Vec<u8>, add: impl FnOnce(&mut Fields<'_>)) {
        let start = text.len();
        if catch_panic(|| add(&mut self.fields(text))).is_err() {
            text.truncate(start);
            self.fields(text).add("fields", "panicked while they were worked out");
        }
    }

    /// Where fields are added to a text.
    #[inline]
    pub(crate) fn fields<'a>(&'a self, text: &'a mut Vec<u8>) -> Fields<'a> {
        Fields { format: self.shared.format, secrets: &self.secrets, text }
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
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}
