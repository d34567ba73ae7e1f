use crate::{
    frames::Frames,
    framing::{Framing, Loose},
};
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// What is going on on one connection, noted where it happens and read by its watch.
///
/// Noting something is one relaxed write and never reads the clock: that is left to the watch,
/// which looks once for each time that the connection is woken.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// The calls in progress in the low half, and how often anything changed in the high half.
    calls: AtomicU64,
    /// Whether bytes have come since the watch last looked.
    heard: AtomicBool,
    /// Whether the peer takes no more bytes for now.
    blocked: AtomicBool,
    /// Whether all has been said, and only the peer's end is waited for.
    parting: AtomicBool,
    /// Whether the peer has sent a flood.
    flooded: AtomicBool,
    /// Whether enough has been read for this turn of its task.
    enough: AtomicBool,
}

/// One change, in the high half of [`Line::calls`].
const CHANGE: u64 = 1 << 32;

impl Line {
    /// Notes that a call has begun. It lasts until the guard is dropped.
    pub(crate) fn call(self: &Arc<Self>) -> InCall {
        self.calls.fetch_add(CHANGE + 1, Relaxed);
        InCall(Arc::clone(self))
    }

    /// How many calls are in progress, and a number that differs after each change.
    pub(crate) fn calls(&self) -> (u32, u32) {
        let calls = self.calls.load(Relaxed);
        (calls as u32, (calls >> 32) as u32)
    }

    /// Whether bytes have come since this was last asked.
    pub(crate) fn heard(&self) -> bool {
        self.heard.load(Relaxed) && self.heard.swap(false, Relaxed)
    }

    /// Whether the peer takes no more bytes for now.
    pub(crate) fn blocked(&self) -> bool {
        self.blocked.load(Relaxed)
    }

    /// Whether all has been said, and only the peer's end is waited for.
    pub(crate) fn parting(&self) -> bool {
        self.parting.load(Relaxed)
    }

    /// Whether the peer has sent a flood.
    pub(crate) fn flooded(&self) -> bool {
        self.flooded.load(Relaxed)
    }

    /// Notes that its task has its turn again.
    pub(crate) fn begin(&self) {
        if self.enough.load(Relaxed) {
            self.enough.store(false, Relaxed);
        }
    }

    fn wrote<T>(&self, outcome: &Poll<io::Result<T>>) {
        match outcome {
            Poll::Pending => self.blocked.store(true, Relaxed),
            Poll::Ready(_) if self.blocked() => {
                self.blocked.store(false, Relaxed);
                self.calls.fetch_add(CHANGE, Relaxed);
            }
            Poll::Ready(_) => {}
        }
    }
}

/// A call in progress, from its head to the last byte of its response body.
#[derive(Debug)]
pub(crate) struct InCall(Arc<Line>);

impl Drop for InCall {
    fn drop(&mut self) {
        self.0.calls.fetch_add(CHANGE - 1, Relaxed);
    }
}

/// The first bytes of a connection, read to learn its protocol.
#[derive(Debug, Default)]
pub(crate) struct Prefix {
    bytes: [u8; PREFACE.len()],
    filled: u8,
    taken: u8,
}

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
pub(crate) const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Prefix {
    /// What has been read and not yet taken.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[usize::from(self.taken)..usize::from(self.filled)]
    }

    /// Where the next bytes are to be read to.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        &mut self.bytes[usize::from(self.filled)..]
    }

    /// Notes that bytes were read.
    pub(crate) fn fill(&mut self, count: usize) {
        let filled = usize::from(self.filled) + count;
        self.filled = filled.min(PREFACE.len()) as u8;
    }

    fn take(&mut self, into: &mut ReadBuf<'_>) {
        let count = self.rest().len().min(into.remaining());
        into.put_slice(&self.rest()[..count]);
        self.taken += count as u8;
    }
}

/// How many bytes are read, and thrown away, once all has been said.
const LINGERING: usize = 64 * 1024;

/// How much is read at once from a peer that sends many requests.
const DENSE: usize = 2048;

/// What a peer sends, as far as it is to be followed.
#[derive(Debug)]
pub(crate) enum Following {
    /// Nothing of it.
    Nothing,
    Http1(Framing),
    Http2(Box<Frames>),
    /// Requests that end where nobody is to read on.
    Loose,
}

/// How far the end of a connection is.
#[derive(Debug, Default)]
enum Ending {
    #[default]
    Open,
    /// What is to be said first.
    GoAway {
        frame: [u8; 17],
        sent: usize,
    },
    ShutDown,
    /// The peer may still be sending. It would lose what it was sent if the connection were closed
    /// then, for the kernel answers bytes that are left unread with a reset (RFC 9112, section 9.6).
    Lingering {
        left: usize,
    },
}

/// A connection whose traffic is noted on a [`Line`], and whose first bytes may be read already.
#[derive(Debug)]
pub(crate) struct Wire<I> {
    io: I,
    prefix: Prefix,
    line: Arc<Line>,
    following: Following,
    ending: Ending,
}

impl<I> Wire<I> {
    pub(crate) fn new(io: I, prefix: Prefix, line: Arc<Line>, following: Following) -> Self {
        Self { io, prefix, line, following, ending: Ending::Open }
    }

    /// Whether the peer is to wait until its task has its next turn.
    fn has_had_enough(&mut self, cx: &Context<'_>) -> bool {
        if self.line.enough.load(Relaxed) {
            return true;
        }
        let Following::Http2(frames) = &mut self.following else { return false };
        let enough = frames.ends_turn();
        if enough {
            self.line.enough.store(true, Relaxed);
            cx.waker().wake_by_ref();
        }
        enough
    }

    fn is_dense(&self) -> bool {
        matches!(&self.following, Following::Http2(frames) if frames.is_dense())
    }

    /// Looks at what has come, and takes back what nobody is to read.
    fn follow(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let bytes = &mut buffer.filled_mut()[before..];
        let whole = bytes.len();
        let passed = match &mut self.following {
            Following::Nothing => whole,
            Following::Http1(framing) => match framing.follow(bytes) {
                Ok(()) => whole,
                Err(Loose(at)) => {
                    self.following = Following::Loose;
                    at
                }
            },
            Following::Http2(frames) => frames.received(bytes, Instant::now),
            Following::Loose => 0,
        };
        if passed < whole {
            buffer.set_filled(before + passed);
        }
    }

    /// Notes what of these bytes was sent.
    fn sent<'a>(
        &mut self,
        slices: impl Iterator<Item = &'a [u8]>,
        outcome: &Poll<io::Result<usize>>,
    ) {
        self.line.wrote(outcome);
        if let (Following::Http2(frames), Poll::Ready(Ok(count))) = (&mut self.following, outcome) {
            let mut left = *count;
            for slice in slices {
                let sent = &slice[..slice.len().min(left)];
                frames.sent(sent, Instant::now);
                left -= sent.len();
            }
        }
    }

    /// The end of what is to be read, if nobody is to read on.
    fn end(&self) -> Option<io::Result<()>> {
        match &self.following {
            Following::Http2(frames) if frames.is_flood() => {
                self.line.flooded.store(true, Relaxed);
                Some(Ok(()))
            }
            Following::Loose => {
                let why = "a line of the trailers ends in LF alone";
                Some(Err(io::Error::new(io::ErrorKind::InvalidData, why)))
            }
            _ => None,
        }
    }
}

impl<I: AsyncRead + Unpin> Wire<I> {
    /// Reads the prefix first.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.rest().is_empty() {
            if !self.is_dense() || buffer.remaining() <= DENSE {
                return Pin::new(&mut self.io).poll_read(cx, buffer);
            }
            let mut space = [0; DENSE];
            let mut part = ReadBuf::new(&mut space);
            let outcome = Pin::new(&mut self.io).poll_read(cx, &mut part);
            buffer.put_slice(part.filled());
            return outcome;
        }
        self.prefix.take(buffer);
        if buffer.remaining() > 0 {
            // What follows the prefix is usually here too, and is then given in the same read.
            // If it is not, or fails, the next read finds that out.
            let _ = Pin::new(&mut self.io).poll_read(cx, buffer);
        }
        Poll::Ready(Ok(()))
    }

    /// Throws away what still comes, until the peer ends too or there is too much of it.
    fn poll_linger(&mut self, cx: &mut Context<'_>, mut left: usize) -> Poll<()> {
        loop {
            let mut space = [0; 4096];
            let mut buffer = ReadBuf::new(&mut space);
            let outcome = Pin::new(&mut self.io).poll_read(cx, &mut buffer);
            let count = buffer.filled().len();
            self.ending = Ending::Lingering { left };
            match outcome {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if count > 0 && count < left => left -= count,
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Wire<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(end) = self.end() {
            return Poll::Ready(end);
        }
        if self.has_had_enough(cx) {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let outcome = self.poll_receive(cx, buffer);
        if let (Poll::Pending, Following::Http2(frames)) = (&outcome, &mut self.following) {
            frames.rest();
        }
        if buffer.filled().len() > before {
            self.line.heard.store(true, Relaxed);
            self.follow(buffer, before);
            if buffer.filled().len() == before {
                // All of it was taken back. Nothing would be the end, which may not be it.
                return Poll::Ready(self.end().unwrap_or(Ok(())));
            }
        }
        outcome
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.sent(std::iter::once(bytes), &outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.sent(slices.iter().map(|slice| &**slice), &outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        self.line.wrote(&outcome);
        outcome
    }

    /// Says why, if that is not clear, closes this side, and lingers for the other.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.ending {
                Ending::Open => {
                    self.ending = match &self.following {
                        // Whoever calls this has sent whole frames before.
                        Following::Http2(frames) if frames.is_flood() => {
                            Ending::GoAway { frame: frames.go_away(), sent: 0 }
                        }
                        _ => Ending::ShutDown,
                    };
                }
                Ending::GoAway { frame, sent } => {
                    let outcome = Pin::new(&mut self.io).poll_write(cx, &frame[sent..]);
                    self.line.wrote(&outcome);
                    let sent = sent + ready!(outcome)?;
                    self.ending = match sent == frame.len() {
                        true => Ending::ShutDown,
                        false => Ending::GoAway { frame, sent },
                    };
                }
                Ending::ShutDown => {
                    let outcome = Pin::new(&mut self.io).poll_shutdown(cx);
                    self.line.wrote(&outcome);
                    ready!(outcome)?;
                    self.line.parting.store(true, Relaxed);
                    self.ending = Ending::Lingering { left: LINGERING };
                }
                Ending::Lingering { left } => return self.poll_linger(cx, left).map(Ok),
            }
        }
    }
}
