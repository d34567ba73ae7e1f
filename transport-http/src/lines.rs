//! JSON, one value a line.

use crate::{Body, json, stream};
use bytes::{Buf as _, Bytes, BytesMut};
use futures_core::Stream;
use http_body::Body as _;
use purlin_endpoint::{Code, Error, Streaming};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    marker::PhantomData,
    pin::Pin,
    task::{Context as Task, Poll, ready},
};

/// The usual name of this format.
pub(crate) const CONTENT_TYPE: &str = "application/x-ndjson";

/// The longest line that is read.
pub(crate) const LINE_LIMIT: usize = 2 * 1024 * 1024;

pub(crate) fn is_json_lines(content_type: &[u8]) -> bool {
    let essence = crate::decode::essence(content_type);
    [CONTENT_TYPE, "application/jsonl", "application/x-jsonlines", "application/json-lines"]
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known.as_bytes()))
}

/// The values on the lines of a body. Whoever waits for the body's end waits for the stream's.
///
/// What is wrong with a line is the fault of its sender: `blame` says whose that is.
pub(crate) fn decode<T: DeserializeOwned + Send + 'static>(
    mut body: Body,
    blame: fn(Error) -> Error,
) -> Streaming<T> {
    let ending = body.take_ending();
    let values = Values { lines: Lines::new(body), blame, value: PhantomData };
    Streaming::new(values).ending(ending)
}

/// The body of these values.
pub(crate) fn encode<T: Serialize + 'static>(values: Streaming<T>) -> Body {
    stream::body(values, |value: T| {
        let mut line = serde_json::to_vec(&value).map_err(Error::internal)?;
        line.push(b'\n');
        Ok(line.into())
    })
}

struct Values<T> {
    lines: Lines,
    blame: fn(Error) -> Error,
    value: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Stream for Values<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(match ready!(self.lines.poll(task)) {
                None => None,
                Some(Ok(line)) if line.trim_ascii().is_empty() => continue,
                Some(Ok(line)) => Some(json::from_slice(&line).map_err(self.blame)),
                Some(Err(error)) => Some(Err(error)),
            });
        }
    }
}

/// Cuts a body into lines, without their ends.
pub(crate) struct Lines {
    body: Body,
    buffer: BytesMut,
    /// How much of the buffer holds no line end.
    searched: usize,
    ended: bool,
}

impl Lines {
    pub(crate) fn new(body: Body) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0, ended: false }
    }

    pub(crate) fn poll(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            if let Some(line) = self.cut() {
                return Poll::Ready(Some(Ok(line)));
            }
            if self.buffer.len() > LINE_LIMIT {
                let error = Error::of(Code::ResourceExhausted);
                let text = format!("a line is longer than {LINE_LIMIT} bytes");
                return Poll::Ready(Some(Err(error.public(text))));
            }
            if self.ended {
                self.searched = 0;
                let rest = self.buffer.split().freeze();
                return Poll::Ready((!rest.is_empty()).then_some(Ok(rest)));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(task)) {
                None => self.ended = true,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    fn cut(&mut self) -> Option<Bytes> {
        let found = self.buffer[self.searched..].iter().position(|b| *b == b'\n');
        let Some(length) = found.map(|found| self.searched + found) else {
            self.searched = self.buffer.len();
            return None;
        };
        self.searched = 0;
        let mut line = self.buffer.split_to(length);
        self.buffer.advance(1);
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Some(line.freeze())
    }
}
