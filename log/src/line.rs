use crate::{Format, Level, Logger, Value, secret, secret::Names, sink::Text};
use std::{cell::Cell, fmt};

thread_local! {
    /// The room of the last line of this thread, for the next one.
    pub(crate) static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What one long line may leave behind for the next.
const KEPT: usize = 16 * 1024;

/// A line on its way: [`send`](Self::send) writes it.
#[must_use = "a line is written by its `send`"]
pub struct Line<'a> {
    pub(crate) logger: &'a Logger,
    pub(crate) level: Level,
    /// Where the message ends.
    pub(crate) message: usize,
    /// `None` if the line is not written.
    pub(crate) text: Option<Vec<u8>>,
}

impl Line<'_> {
    /// Adds a field.
    #[inline]
    pub fn field<'v>(mut self, key: &str, value: impl Into<Value<'v>>) -> Self {
        if let Some(text) = &mut self.text {
            self.logger.fields(text).add(key, value);
        }
        self
    }

    /// Adds a field that is only worked out if the line is written.
    #[inline]
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
    #[inline]
    pub fn send(self) {
        let logger = self.logger;
        self.finish(|line| logger.write(line));
    }

    /// Writes the line, and says whether that went well; if not, nothing is counted.
    pub(crate) fn try_send(self) -> bool {
        let logger = self.logger;
        self.finish(|line| logger.shared.write(line)).unwrap_or(true)
    }

    fn finish<T>(self, write: impl FnOnce(Text<'_>) -> T) -> Option<T> {
        let mut text = self.text?;
        self.logger.shared.format.finish(&mut text);
        let done = write(Text { whole: &text, level: self.level, message: self.message });
        if text.capacity() <= KEPT {
            text.clear();
            BUFFER.set(text);
        }
        Some(done)
    }
}

impl fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.as_deref().map(String::from_utf8_lossy);
        f.debug_tuple("Line").field(&text).finish()
    }
}

/// Where fields are added to a line.
///
/// A field whose name [says that it is secret](Logger::secrets) is written as `***`.
pub struct Fields<'a> {
    pub(crate) format: Format,
    pub(crate) secrets: &'a Names,
    pub(crate) text: &'a mut Vec<u8>,
}

impl Fields<'_> {
    /// Adds a field, behind those that are there.
    #[inline]
    pub fn add<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) -> &mut Self {
        self.put(key, value.into());
        self
    }

    fn put(&mut self, key: &str, value: Value<'_>) {
        let hidden = self.secrets.hide(key);
        self.format.key(self.text, key);
        self.format.value(self.text, if hidden { secret::hidden() } else { value });
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fields").field(&String::from_utf8_lossy(self.text)).finish()
    }
}
