use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

/// The last lines of a log, kept for the page while they are written elsewhere.
///
/// ```
/// use purlin_admin::{Admin, Tail};
/// use std::io::Write as _;
///
/// let tail = Tail::new(1000);
/// // What a logger writes to.
/// let mut writer = tail.over(std::io::sink());
/// writer.write_all(b"level=info msg=listening\n")?;
/// assert_eq!(tail.text(), "level=info msg=listening\n");
///
/// let shown = tail.clone();
/// let admin = Admin::new("greeter", "1.2.3");
/// let admin = admin.text("/log", "text/plain; charset=utf-8", move || shown.text());
/// # let _ = admin.service();
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// Clones keep the same lines. A line is cut at 4 KiB here, and nowhere else.
#[derive(Clone, Debug)]
pub struct Tail {
    lines: usize,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Vec<u8>>,
    /// What came without a line break yet.
    open: Vec<u8>,
}

/// The most that is kept of a line, in bytes.
const LONGEST: usize = 4 * 1024;

impl Tail {
    /// Keeps so many lines.
    pub fn new(lines: usize) -> Self {
        Self { lines, kept: Arc::default() }
    }

    /// A writer that hands everything to this one, and keeps the last lines.
    pub fn over<W: Write>(&self, inner: W) -> Tailed<W> {
        Tailed { tail: self.clone(), inner }
    }

    /// The lines that are kept, the newest last.
    pub fn text(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lines.iter().map(|line| String::from_utf8_lossy(line)).collect()
    }

    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = LONGEST.saturating_sub(kept.open.len());
            kept.open.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                let mut line = std::mem::take(&mut kept.open);
                line.push(b'\n');
                kept.lines.push_back(line);
                if kept.lines.len() > self.lines {
                    kept.lines.pop_front();
                }
            }
        }
    }
}

/// A writer whose last lines a [`Tail`] keeps.
#[derive(Debug)]
pub struct Tailed<W> {
    tail: Tail,
    inner: W,
}

impl<W: Write> Write for Tailed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.tail.keep(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_lines_are_kept_and_everything_is_written() {
        let (tail, mut all) = (Tail::new(2), Vec::new());
        let mut writer = tail.over(&mut all);
        for piece in ["one\ntw", "o\nthree\nfo", "ur"] {
            writer.write_all(piece.as_bytes()).unwrap();
        }
        assert_eq!(tail.text(), "two\nthree\n");
        assert_eq!(all, b"one\ntwo\nthree\nfour");
    }

    #[test]
    fn a_long_line_is_cut() {
        let tail = Tail::new(2);
        let mut writer = tail.over(io::sink());
        writer.write_all(&vec![b'x'; 3 * LONGEST]).unwrap();
        writer.write_all(b"yz\n").unwrap();
        assert_eq!(tail.text().len(), LONGEST + 1);
    }
}
