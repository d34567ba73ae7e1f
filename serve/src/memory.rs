use crate::Accept;
use purlin_endpoint::Peer;
use std::{
    future::{Ready, pending, ready},
    io,
};
use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc,
};

/// How many bytes one direction of a connection holds before its writer has to wait.
const PIPE_BYTES: usize = 64 * 1024;

/// How many connections wait to be accepted before the next dialler has to wait.
const BACKLOG: usize = 128;

/// Makes a listener inside this process, and the handle that connects to it.
///
/// A server on it behaves as on a socket, without the kernel: for tests, and for two services that
/// share a process.
///
/// ```
/// # tokio_test::block_on(async {
/// use purlin_serve::Accept;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// let (mut accept, dial) = purlin_serve::memory();
/// let mut client = dial.connect().await?;
/// let (handshake, _peer) = accept.accept().await?;
/// let mut server = handshake.await?;
///
/// client.write_all(b"hello").await?;
/// let mut heard = [0; 5];
/// server.read_exact(&mut heard).await?;
/// assert_eq!(&heard, b"hello");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub fn memory() -> (MemoryAccept, MemoryDial) {
    let (dialled, waiting) = mpsc::channel(BACKLOG);
    (MemoryAccept { waiting }, MemoryDial { dialled })
}

/// The listening side of [`memory`].
#[derive(Debug)]
pub struct MemoryAccept {
    waiting: mpsc::Receiver<DuplexStream>,
}

impl Accept for MemoryAccept {
    type Io = DuplexStream;
    type Handshake = Ready<io::Result<DuplexStream>>;

    async fn accept(&mut self) -> io::Result<(Self::Handshake, Peer)> {
        match self.waiting.recv().await {
            Some(stream) => Ok((ready(Ok(stream)), Peer::Memory)),
            // Nobody can connect any more. The server still ends only when it is told to.
            None => pending().await,
        }
    }
}

/// The connecting side of [`memory`]. Clones connect to the same listener.
#[derive(Clone, Debug)]
pub struct MemoryDial {
    dialled: mpsc::Sender<DuplexStream>,
}

impl MemoryDial {
    /// Connects to the listener.
    ///
    /// # Errors
    ///
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if the listener is gone.
    pub async fn connect(&self) -> io::Result<DuplexStream> {
        let (near, far) = duplex(PIPE_BYTES);
        match self.dialled.send(far).await {
            Ok(()) => Ok(near),
            Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}
