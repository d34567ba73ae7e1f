use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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

/// A connection whose traffic is noted on a [`Line`], and whose first bytes may be read already.
#[derive(Debug)]
pub(crate) struct Wire<I> {
    pub(crate) io: I,
    pub(crate) prefix: Prefix,
    pub(crate) line: Arc<Line>,
}

impl<I: AsyncRead + Unpin> AsyncRead for Wire<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if !self.prefix.rest().is_empty() {
            self.prefix.take(buffer);
            if buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            // What follows the prefix is usually here too, and is then given in the same read.
            // If it is not, or fails, the next read finds that out.
            let _ = Pin::new(&mut self.io).poll_read(cx, buffer);
            self.line.heard.store(true, Relaxed);
            return Poll::Ready(Ok(()));
        }
        let outcome = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.line.heard.store(true, Relaxed);
        }
        outcome
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Wire<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.line.wrote(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.line.wrote(&outcome);
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

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_shutdown(cx);
        self.line.wrote(&outcome);
        outcome
    }
}
