//! Server-sent events, read from a body.

use crate::{Body, Event, lines::Lines};
use bytes::Bytes;
use futures_core::Stream;
use purlin_endpoint::{Error, Streaming};
use std::{
    mem,
    pin::Pin,
    task::{Context as Task, Poll, ready},
    time::Duration,
};

/// The events of a body. Whoever waits for the body's end waits for the stream's.
pub(crate) fn decode(mut body: Body) -> Streaming<Event> {
    let ending = body.take_ending();
    let events = Events { lines: Lines::new(body), first: true, draft: Draft::default() };
    Streaming::new(events).ending(ending)
}

struct Events {
    lines: Lines,
    first: bool,
    draft: Draft,
}

/// An event whose last line has not come.
#[derive(Default)]
struct Draft {
    event: Event,
    data: String,
    /// An event without data is none.
    said: bool,
}

impl Stream for Events {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        loop {
            // What is not finished with an empty line was cut off.
            let Some(line) = ready!(self.lines.poll(task)).transpose()? else {
                return Poll::Ready(None);
            };
            let first = mem::take(&mut self.first);
            let line = if first { without_mark(&line) } else { &line };
            if let Some(event) = self.draft.add(line) {
                return Poll::Ready(Some(Ok(event)));
            }
        }
    }
}

/// The line without the mark that may stand at the beginning of a text in UTF-8.
fn without_mark(line: &Bytes) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
}

impl Draft {
    /// Adds a line, by the rules of the
    /// [standard](https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation).
    fn add(&mut self, line: &[u8]) -> Option<Event> {
        if line.is_empty() {
            let Self { mut event, mut data, said } = mem::take(self);
            data.pop();
            event.data = data.into();
            return said.then_some(event);
        }
        let line = String::from_utf8_lossy(line);
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
                self.said = true;
                self.data.push_str(value);
                self.data.push('\n');
            }
            "event" => self.event.name = Some(value.to_owned().into()),
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned().into()),
            "retry" => self.event.retry = value.parse().ok().map(Duration::from_millis),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn events(text: &'static str) -> Vec<Event> {
        let mut stream = decode(Body::from(text));
        let mut all = Vec::new();
        while let Some(event) = stream.message().await.unwrap() {
            all.push(event);
        }
        all
    }

    #[tokio::test]
    async fn the_standards_examples_are_read_as_it_says() {
        let three = ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n";
        assert_eq!(
            events(three).await,
            [
                Event::new("first event").id("1"),
                Event::new("second event").id(""),
                Event::new(" third event")
            ]
        );
        assert_eq!(events("data\n\ndata\ndata\n\ndata:").await, [Event::new(""), Event::new("\n")]);
        assert_eq!(
            events("data:test\r\n\r\ndata: test\n\n").await,
            [Event::new("test"), Event::new("test")]
        );
        assert_eq!(
            events("\u{feff}event: add\ndata: YHOO\ndata: +2\nretry: 10\nother: 1\n\n").await,
            [Event::new("YHOO\n+2").name("add").retry(Duration::from_millis(10))]
        );
    }

    #[tokio::test]
    async fn what_is_written_is_read_back() {
        for data in ["", "a", "a\nb", "\n", "a\n", " x", "data: y"] {
            let event = Event::new(data).name("n").id("7");
            let text = String::from_utf8(event.to_bytes().to_vec()).unwrap();
            let mut stream = decode(Body::from(text));
            assert_eq!(stream.message().await.unwrap(), Some(event));
            assert_eq!(stream.message().await.unwrap(), None);
        }
    }
}
