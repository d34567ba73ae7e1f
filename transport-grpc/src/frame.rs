//! Messages on the wire: a flag, a length in four bytes, and so many bytes.

use crate::gzip;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use prost::Message;
use purlin_endpoint::{BoxError, Code, Error};
use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context as Task, Poll, ready},
};

const PREFIX: usize = 5;

/// How messages are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writing {
    /// The longest message, before compression.
    pub(crate) limit: usize,
    /// Messages of this length and more are compressed.
    pub(crate) gzip_from: Option<usize>,
}

impl Writing {
    /// Appends a message with its prefix.
    pub(crate) fn write(self, message: &impl Message, out: &mut BytesMut) -> Result<(), Error> {
        let length = message.encoded_len();
        if length > self.limit {
            return Err(too_long(length as u64, self.limit));
        }
        match self.gzip_from {
            Some(from) if length >= from => {
                let packed = gzip::pack(&message.encode_to_vec())?;
                prefix(1, packed.len(), out)?;
                out.extend_from_slice(&packed);
            }
            _ => {
                prefix(0, length, out)?;
                message.encode_raw(out);
            }
        }
        Ok(())
    }
}

fn prefix(flag: u8, length: usize, out: &mut BytesMut) -> Result<(), Error> {
    let wide = u32::try_from(length).map_err(|_| too_long(length as u64, u32::MAX as usize))?;
    out.reserve(PREFIX + length);
    out.put_u8(flag);
    out.put_u32(wide);
    Ok(())
}

fn too_long(length: u64, limit: usize) -> Error {
    Error::of(Code::ResourceExhausted)
        .public(format!("a message of {length} bytes is longer than the limit of {limit}"))
}

/// How messages are read.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    /// The longest message, after decompression.
    pub(crate) limit: usize,
    /// Whether the other side has said that its messages may be compressed.
    pub(crate) gzip: bool,
    /// What a body that breaks off means.
    pub(crate) broken: fn(BoxError) -> Error,
}

/// A body of any kind, as one type.
pub(crate) type AnyBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

/// Makes any body that one type.
pub(crate) fn any_body<B>(body: B) -> AnyBody
where
    B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    Box::pin(Plain { body })
}

pin_project! {
    /// A body whose data are plain bytes, as long as they were.
    struct Plain<B> {
        #[pin]
        body: B,
    }
}

impl<B: Body<Data: Buf, Error: Into<BoxError>>> Body for Plain<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(self.project().body.poll_frame(task));
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(Into::into)?;
            // Bytes stay where they are.
            Ok(frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads the messages of a body.
pub(crate) struct Frames {
    body: AnyBody,
    reading: Reading,
    /// What has come and is not looked at yet.
    chunk: Bytes,
    prefix: [u8; PREFIX],
    prefix_filled: usize,
    /// The message whose prefix is complete: whether it is compressed, and its length.
    next: Option<(bool, usize)>,
    /// The part of that message that came in earlier chunks.
    partial: BytesMut,
    trailers: Option<HeaderMap>,
    any_data: bool,
    ended: bool,
}

impl Frames {
    pub(crate) fn new(body: AnyBody, reading: Reading) -> Self {
        Self {
            body,
            reading,
            chunk: Bytes::new(),
            prefix: [0; PREFIX],
            prefix_filled: 0,
            next: None,
            partial: BytesMut::new(),
            trailers: None,
            any_data: false,
            ended: false,
        }
    }

    /// The trailers, once the body has ended.
    pub(crate) fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// Whether anything came before the end.
    pub(crate) fn any_data(&self) -> bool {
        self.any_data
    }

    /// The next message; `None` after the last.
    pub(crate) fn poll_message(
        &mut self,
        task: &mut Task<'_>,
    ) -> Poll<Result<Option<Bytes>, Error>> {
        loop {
            if let Some(message) = self.cut()? {
                return Poll::Ready(Ok(Some(message)));
            }
            if self.ended {
                return Poll::Ready(if self.prefix_filled > 0 || self.next.is_some() {
                    Err(malformed("the stream ended within a message"))
                } else {
                    Ok(None)
                });
            }
            match ready!(self.body.as_mut().poll_frame(task)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.any_data |= !data.is_empty();
                        self.chunk = data;
                    }
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok();
                        self.ended = true;
                    }
                },
                Some(Err(error)) => return Poll::Ready(Err((self.reading.broken)(error))),
                None => self.ended = true,
            }
        }
    }

    pub(crate) async fn message(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|task| self.poll_message(task)).await
    }

    /// Cuts the next message off what has come, if it is there as a whole.
    fn cut(&mut self) -> Result<Option<Bytes>, Error> {
        let (packed, length) = match self.next {
            Some(next) => next,
            None => match self.cut_prefix()? {
                Some(next) => *self.next.insert(next),
                None => return Ok(None),
            },
        };
        let missing = length - self.partial.len();
        let message = if self.partial.is_empty() && self.chunk.len() >= missing {
            // The usual case: the whole message is in one chunk, and stays where it is.
            self.chunk.split_to(missing)
        } else {
            // Only what has come takes memory, whatever length the prefix claims.
            self.partial.extend_from_slice(&self.chunk.split_to(missing.min(self.chunk.len())));
            if self.partial.len() < length {
                return Ok(None);
            }
            std::mem::take(&mut self.partial).freeze()
        };
        self.next = None;
        if packed {
            gzip::unpack(&message, self.reading.limit).map(Some)
        } else {
            Ok(Some(message))
        }
    }

    fn cut_prefix(&mut self) -> Result<Option<(bool, usize)>, Error> {
        let taken = (PREFIX - self.prefix_filled).min(self.chunk.len());
        let part = self.chunk.split_to(taken);
        self.prefix[self.prefix_filled..self.prefix_filled + taken].copy_from_slice(&part);
        self.prefix_filled += taken;
        if self.prefix_filled < PREFIX {
            return Ok(None);
        }
        self.prefix_filled = 0;
        let [flag, length @ ..] = self.prefix;
        let length = u32::from_be_bytes(length);
        let packed = match flag {
            0 => false,
            1 if self.reading.gzip => true,
            1 => return Err(malformed("a message is compressed without an encoding being named")),
            _ => return Err(malformed("a message begins with an unknown flag")),
        };
        match usize::try_from(length) {
            Ok(length) if length <= self.reading.limit => Ok(Some((packed, length))),
            _ => Err(too_long(length.into(), self.reading.limit)),
        }
    }
}

/// The other side breaks the protocol.
pub(crate) fn malformed(why: &'static str) -> Error {
    Error::of(Code::Internal).public(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::StreamBody;
    use std::convert::Infallible;

    struct Chunks(std::vec::IntoIter<Bytes>);

    impl futures_core::Stream for Chunks {
        type Item = Result<http_body::Frame<Bytes>, Infallible>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.0.next().map(|data| Ok(http_body::Frame::data(data))))
        }
    }

    fn frames(chunks: Vec<Bytes>, reading: Reading) -> Frames {
        Frames::new(any_body(StreamBody::new(Chunks(chunks.into_iter()))), reading)
    }

    const READING: Reading =
        Reading { limit: 300, gzip: true, broken: |_| Error::of(Code::Aborted) };

    async fn all(mut frames: Frames) -> Result<Vec<Bytes>, Error> {
        let mut messages = Vec::new();
        while let Some(message) = frames.message().await? {
            messages.push(message);
        }
        Ok(messages)
    }

    #[tokio::test]
    async fn messages_are_the_same_however_the_bytes_are_chunked() {
        let mut wire = BytesMut::new();
        let plain = Writing { limit: 300, gzip_from: None };
        let packed = Writing { limit: 300, gzip_from: Some(0) };
        let messages = [vec![], vec![7_u8; 3], vec![9; 280], vec![1; 20]];
        for (number, message) in messages.iter().enumerate() {
            let writing = if number % 2 == 0 { packed } else { plain };
            writing.write(message, &mut wire).unwrap();
        }
        let wire = wire.freeze();
        for size in 1..=wire.len() {
            let chunks = wire.chunks(size).map(Bytes::copy_from_slice).collect();
            let read = all(frames(chunks, READING)).await.unwrap();
            let read: Vec<_> = read.into_iter().map(|m| Vec::<u8>::decode(m).unwrap()).collect();
            assert_eq!(read, messages, "in chunks of {size}");
        }
    }

    #[tokio::test]
    async fn a_message_that_is_cut_off_is_an_internal_error() {
        for wire in [&b"\0\0\0\0\x05abcd"[..], b"\0\0\0", b"\0\0\0\0\0\0"] {
            let error = all(frames(vec![Bytes::copy_from_slice(wire)], READING)).await.unwrap_err();
            assert_eq!(error.code(), Code::Internal);
        }
    }

    #[tokio::test]
    async fn a_prefix_that_claims_too_much_is_refused_before_the_message_comes() {
        let error = all(frames(vec![Bytes::from_static(b"\0\0\0\x01\x2d")], READING)).await;
        assert_eq!(error.unwrap_err().code(), Code::ResourceExhausted);
    }

    #[tokio::test]
    async fn a_flag_without_its_encoding_is_an_internal_error() {
        let reading = Reading { gzip: false, ..READING };
        for wire in [b"\x01\0\0\0\x01a", b"\x02\0\0\0\x01a"] {
            let error = all(frames(vec![Bytes::from_static(wire)], reading)).await.unwrap_err();
            assert_eq!(error.code(), Code::Internal);
        }
    }
}
