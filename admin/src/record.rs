//! One call as the page shows it.

use purlin_endpoint::{Context, Note, Notes, Verdict};
use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// A call that has ended.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record {
    method: String,
    /// When it began, in milliseconds since 1970.
    at_ms: u64,
    took_us: u64,
    code: &'static str,
    failed: bool,
    peer: Option<String>,
    request_id: Option<String>,
    trace_id: Option<String>,
    attempts: u32,
    /// What the caller was told, and why it really was so.
    error: Option<String>,
    /// The layers that the call was in, the outermost first. Empty if nobody took notes.
    layers: Vec<Span>,
    /// What layers had to say: the decision of a balancer, the reason of a retry.
    said: Vec<Said>,
}

/// From when to when a call was in a layer, in microseconds from the call's beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Span {
    layer: &'static str,
    from_us: u64,
    /// `None` if it had not left the layer when the call ended.
    to_us: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Said {
    layer: &'static str,
    at_us: u64,
    text: String,
}

impl Record {
    pub(crate) fn new(
        context: &Context,
        notes: &Notes,
        started: Instant,
        took: Duration,
        verdict: Verdict,
        error: Option<String>,
    ) -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (layers, said) = sorted(notes.read(), started);
        Self {
            method: context.method().map_or_else(|| "-".to_owned(), ToString::to_string),
            at_ms: millis(since_1970.saturating_sub(took)),
            took_us: micros(took),
            code: verdict.code.as_str(),
            failed: verdict.failed,
            peer: context.peer().map(ToString::to_string),
            request_id: context.request_id().map(ToString::to_string),
            trace_id: context.trace().map(|trace| trace.trace_id().to_string()),
            attempts: notes.attempts(),
            error: error.map(cut),
            layers,
            said,
        }
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.failed
    }
}

/// The way through the layers, and what they said.
fn sorted(notes: Vec<Note>, started: Instant) -> (Vec<Span>, Vec<Said>) {
    let (mut layers, mut said) = (Vec::<Span>::new(), Vec::new());
    for Note { layer, at, text, left } in notes {
        let at_us = micros(at.saturating_duration_since(started));
        if let Some(text) = text {
            said.push(Said { layer, at_us, text: cut(text) });
        } else if !left {
            layers.push(Span { layer, from_us: at_us, to_us: None });
        } else {
            // Of two layers of the same name, the inner one is left first.
            let within = |span: &&mut Span| span.layer == layer && span.to_us.is_none();
            if let Some(span) = layers.iter_mut().rev().find(within) {
                span.to_us = Some(at_us);
            }
        }
    }
    (layers, said)
}

/// The most that is kept of a text, in bytes: callers have their part in it.
const LONGEST: usize = 4 * 1024;

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST));
    text.shrink_to_fit();
    text
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_two_characters() {
        assert_eq!(cut("é".repeat(LONGEST)).len(), LONGEST);
        assert_eq!(cut(format!("a{}", "é".repeat(LONGEST))).len(), LONGEST - 1);
        assert_eq!(cut("short".to_owned()), "short");
    }

    #[test]
    fn of_two_layers_of_one_name_the_inner_one_is_left_first() {
        let started = Instant::now();
        let note = |after, left| Note {
            layer: "timeout",
            at: started + Duration::from_micros(after),
            text: None,
            left,
        };
        let span = |from_us, to_us| Span { layer: "timeout", from_us, to_us };
        let notes = vec![note(1, false), note(2, false), note(3, true)];
        assert_eq!(sorted(notes, started).0, [span(1, None), span(2, Some(3))]);
    }
}
