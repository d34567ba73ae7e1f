//! Records of the `log` crate become lines.

use crate::{Level, Logger, format::display};
use std::fmt;

/// Writes the records of crates that log through [`log`](https://docs.rs/log), with their `target`.
///
/// `main` installs it, and nobody else: `log::set_boxed_logger(Box::new(logger))`, with
/// `log::set_max_level` for whatever is never to be looked at. The levels are those of the logger;
/// `Trace` is debug.
///
/// ```
/// use purlin_log::Logger;
///
/// let logger = Logger::logfmt(std::io::stderr());
/// log::set_max_level(log::LevelFilter::Debug);
/// log::set_boxed_logger(Box::new(logger.clone()))?;
/// log::info!("two lines\nin one");
/// # assert_eq!(logger.dropped(), 0);
/// # Ok::<_, log::SetLoggerError>(())
/// ```
impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        Self::enabled(self, level(metadata.level()))
    }

    fn log(&self, record: &log::Record<'_>) {
        let level = level(record.level());
        // What our own writer logs would go round in a circle.
        if Self::enabled(self, level) && !self.is_writing() {
            let message = shown(record.args());
            let line = self.line_at(level, &message, record.file(), record.line());
            line.field("target", record.target()).send();
        }
    }

    fn flush(&self) {
        // There is nobody to tell.
        let _ = Self::flush(self);
    }
}

fn level(level: log::Level) -> Level {
    match level {
        log::Level::Error => Level::Error,
        log::Level::Warn => Level::Warn,
        log::Level::Info => Level::Info,
        log::Level::Debug | log::Level::Trace => Level::Debug,
    }
}

fn shown(message: &fmt::Arguments<'_>) -> String {
    let mut text = Vec::new();
    display(&mut text, message);
    // Only text was written there.
    String::from_utf8(text).unwrap_or_default()
}
