use crate::{Backend, Deltas, Snapshot, flat};
use purlin_endpoint::BoxError;
use std::{
    fmt::Write as _,
    io::ErrorKind,
    time::{Duration, SystemTime},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

/// Sends to Graphite's carbon over TCP, one line for each number: `path value timestamp`.
///
/// The path is the name and each label's name and value; a histogram is its `.count`, `.sum`,
/// `.p50`, `.p90`, `.p95` and `.p99`. Counts and sums are since the start of the process
/// (`nonNegativeDerivative` shows their rate), so that what is lost on the way is not lost for good;
/// quantiles are of what came since the last push.
#[derive(Debug)]
pub struct Graphite {
    address: String,
    prefix: String,
    stream: Option<TcpStream>,
    deltas: Deltas,
}

impl Graphite {
    /// Sends to this address, as `localhost:2003`.
    pub fn new(address: impl Into<String>) -> Self {
        let (address, prefix) = (address.into(), String::new());
        Self { address, prefix, stream: None, deltas: Deltas::new() }
    }

    /// Puts this before each path, as in `greeter.host1.`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    fn lines(&mut self, snapshot: &Snapshot) -> String {
        let recent = self.deltas.take(snapshot);
        let at = snapshot.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut lines = String::new();
        for (path, value) in flat::numbers(snapshot, &recent) {
            if value.is_finite() {
                // Writing into a string can't fail.
                let _ = writeln!(lines, "{}{path} {value} {at}", self.prefix);
            }
        }
        lines
    }
}

/// Whether the other side has closed it: it sends nothing else.
async fn is_closed(stream: &TcpStream) -> bool {
    // What has long come is seen at once; the rest of the time nobody misses.
    let _ = timeout(Duration::from_millis(1), stream.readable()).await;
    let read = stream.try_read(&mut [0; 64]);
    read.map_or_else(|error| error.kind() != ErrorKind::WouldBlock, |read| read == 0)
}

impl Backend for Graphite {
    async fn push(&mut self, snapshot: &Snapshot) -> Result<(), BoxError> {
        let lines = self.lines(snapshot);
        // The stream is put back when all was written: what breaks off within a line can't go on.
        let mut stream = match self.stream.take() {
            Some(stream) if !is_closed(&stream).await => stream,
            _ => TcpStream::connect(&self.address).await?,
        };
        stream.write_all(lines.as_bytes()).await?;
        self.stream = Some(stream);
        Ok(())
    }
}
