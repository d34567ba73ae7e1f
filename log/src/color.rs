//! Colours for a terminal, where somebody wants them.

use crate::{Format, Level};
use std::{env, ffi::OsStr, io::IsTerminal};

pub(crate) const PLAIN: &[u8] = b"\x1b[0m";
pub(crate) const DIM: &[u8] = b"\x1b[2m";

pub(crate) fn color_of(level: Level) -> &'static [u8] {
    match level {
        Level::Debug => b"\x1b[34m",
        Level::Info => b"\x1b[32m",
        Level::Warn => b"\x1b[33m",
        Level::Error => b"\x1b[1;31m",
    }
}

impl Format {
    /// [In colour](Self::Color) if this stream is a terminal that shows it and nobody has asked
    /// for none, and else [without](Self::Pretty).
    ///
    /// Who wants no colours sets [`NO_COLOR`](https://no-color.org) to anything but the empty text.
    ///
    /// ```
    /// use purlin_log::{Format, Logger};
    /// use std::io;
    ///
    /// let log = Logger::new(Format::for_people(&io::stderr()), io::stderr());
    /// # assert!(log.enabled(purlin_log::Level::Info));
    /// ```
    pub fn for_people(stream: &impl IsTerminal) -> Self {
        let (no_color, term) = (env::var_os("NO_COLOR"), env::var_os("TERM"));
        Self::of_terminal(stream.is_terminal(), no_color.as_deref(), term.as_deref())
    }

    fn of_terminal(terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> Self {
        let unwanted = no_color.is_some_and(|text| !text.is_empty());
        let dumb = term.is_some_and(|term| term == "dumb");
        if terminal && !unwanted && !dumb { Self::Color } else { Self::Pretty }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_show_them_where_nobody_has_asked_for_none() {
        let of = |terminal, no_color: Option<&'static str>, term: Option<&'static str>| {
            Format::of_terminal(terminal, no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert_eq!(of(true, None, Some("xterm")), Format::Color);
        assert_eq!(of(true, Some(""), None), Format::Color);
        assert_eq!(of(true, Some("1"), Some("xterm")), Format::Pretty);
        assert_eq!(of(true, None, Some("dumb")), Format::Pretty);
        assert_eq!(of(false, None, Some("xterm")), Format::Pretty);
    }
}
