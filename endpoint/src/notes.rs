use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::time::Instant;

/// What layers write down about one call, for whoever watches it from outside.
///
/// A layer that wants to know opens them in the call's [`Context`](crate::Context) and reads them
/// when the call has ended; layers further in write. Where nobody has opened them, which is the
/// rule, writing costs next to nothing and the text is not even made.
///
/// ```
/// use purlin_endpoint::{Context, Notes};
///
/// let notes = Notes::open();
/// let context = Context::new().with_notes(notes.clone());
///
/// context.notes().attempted();
/// context.notes().say("balancer", || "picked 10.0.0.7:9110 of 3".to_owned());
///
/// assert_eq!(notes.attempts(), 1);
/// assert_eq!(notes.read()[0].text.as_deref(), Some("picked 10.0.0.7:9110 of 3"));
/// ```
#[derive(Clone, Default)]
pub struct Notes(Option<Arc<Book>>);

struct Book {
    attempts: AtomicU32,
    /// `None` if attempts are counted and nothing else is written down.
    pages: Option<Mutex<Vec<Note>>>,
}

/// One line of [`Notes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The layer that wrote it, as in `retry`.
    pub layer: &'static str,
    /// When.
    pub at: Instant,
    /// What it had to say: `None` as the call enters or leaves it.
    pub text: Option<String>,
    /// Whether the call left the layer here: the last of what it wrote.
    pub left: bool,
}

/// A call can't fill the memory, however often it is tried again.
const MOST: usize = 256;

impl Notes {
    /// Where nobody reads.
    pub(crate) const CLOSED: Self = Self(None);

    /// Notes of everything that layers have to say, at most 256 lines for a call.
    pub fn open() -> Self {
        Self::with(Some(Mutex::default()))
    }

    /// Notes that only count attempts: for a log line.
    pub fn counting() -> Self {
        Self::with(None)
    }

    fn with(pages: Option<Mutex<Vec<Note>>>) -> Self {
        Self(Some(Arc::new(Book { attempts: AtomicU32::new(0), pages })))
    }

    /// Whether somebody counts attempts, at least.
    pub fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// How many attempts were made so far: zero if no layer counts them.
    pub fn attempts(&self) -> u32 {
        self.0.as_ref().map_or(0, |book| book.attempts.load(Ordering::Relaxed))
    }

    /// Counts an attempt at the call.
    pub fn attempted(&self) {
        if let Some(book) = &self.0 {
            book.attempts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes down what a layer has to say. The text is made only if somebody reads it.
    pub fn say(&self, layer: &'static str, text: impl FnOnce() -> String) {
        if self.pages().is_some() {
            self.write(Note { layer, at: Instant::now(), text: Some(text()), left: false });
        }
    }

    /// Writes down that the call is within a layer, until what this returns is dropped.
    #[inline]
    pub fn enter(&self, layer: impl FnOnce() -> &'static str) -> Option<Within> {
        self.pages()?;
        let layer = layer();
        self.write(Note { layer, at: Instant::now(), text: None, left: false });
        Some(Within { notes: self.clone(), layer })
    }

    /// What was written so far, in its order.
    pub fn read(&self) -> Vec<Note> {
        let Some(pages) = self.pages() else { return Vec::new() };
        pages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[inline]
    fn pages(&self) -> Option<&Mutex<Vec<Note>>> {
        self.0.as_ref()?.pages.as_ref()
    }

    fn write(&self, note: Note) {
        let Some(pages) = self.pages() else { return };
        let mut pages = pages.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.len() < MOST {
            pages.push(note);
        }
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.read()).finish()
    }
}

/// Says, when it is dropped, that the call has left a layer.
#[derive(Debug)]
pub struct Within {
    notes: Notes,
    layer: &'static str,
}

impl Drop for Within {
    fn drop(&mut self) {
        let (layer, at) = (self.layer, Instant::now());
        self.notes.write(Note { layer, at, text: None, left: true });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(notes: &Notes) -> Vec<(&'static str, Option<String>, bool)> {
        notes.read().into_iter().map(|note| (note.layer, note.text, note.left)).collect()
    }

    #[test]
    fn where_nobody_reads_no_text_is_made() {
        for notes in [Notes::default(), Notes::counting()] {
            notes.say("retry", || unreachable!("nobody reads this"));
            assert!(notes.enter(|| unreachable!("nobody asks who")).is_none());
            assert_eq!(notes.read(), []);
        }
    }

    #[test]
    fn attempts_are_counted_where_nothing_else_is_written() {
        let (closed, counting) = (Notes::default(), Notes::counting());
        closed.attempted();
        counting.attempted();
        counting.clone().attempted();
        assert_eq!((closed.attempts(), counting.attempts()), (0, 2));
    }

    #[test]
    fn a_layer_is_left_when_its_guard_is_dropped() {
        let notes = Notes::open();
        let outer = notes.enter(|| "retry");
        notes.say("retry", || "once".to_owned());
        drop(outer);
        let said = Some("once".to_owned());
        assert_eq!(
            lines(&notes),
            [("retry", None, false), ("retry", said, false), ("retry", None, true)]
        );
    }

    #[test]
    fn one_call_writes_no_more_than_fits() {
        let notes = Notes::open();
        for _ in 0..2 * MOST {
            notes.say("retry", || "again".to_owned());
        }
        assert_eq!(notes.read().len(), MOST);
    }
}
