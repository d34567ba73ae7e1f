//! A server in memory, raw bytes to it, and all that it answers.

use purlin_serve::{MemoryDial, Server, memory};
use std::future::pending;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What goes behind bytes that are sent: it is answered only if the server agrees where they end.
pub(crate) const SUFFIX: &[u8] = b"GET /suffix HTTP/1.1\r\nHost: a\r\n\r\n";

/// Starts a server of everything that can be attacked, in this process.
pub(crate) fn start() -> MemoryDial {
    let (accept, dial) = memory();
    tokio::spawn(Server::new().serve(accept, purlin_hostile::both(), pending()));
    dial
}

/// Whether a soak is wanted: the tests that have two sizes take the longer.
pub(crate) fn soak() -> bool {
    std::env::var_os("PURLIN_SOAK").is_some()
}

/// Sends bytes on a connection of their own and reads until the server closes it. The server's
/// patience ends in paused time, so this never waits.
pub(crate) async fn transcript(dial: &MemoryDial, bytes: &[u8]) -> Vec<Answer> {
    let stream = dial.connect().await.expect("the server accepts");
    let (mut read, mut write) = tokio::io::split(stream);
    let mut answers = Vec::new();
    let send = async {
        // A server that has refused reads no further.
        let _ = write.write_all(bytes).await;
    };
    let receive = read.read_to_end(&mut answers);
    let ((), read) = tokio::join!(send, receive);
    read.expect("a connection in memory is closed, not reset");
    parse(&answers)
}

/// One answer of a transcript.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Whether this tells what was understood, and not why it was refused.
    pub(crate) fn is_echo(&self) -> bool {
        !self.method.is_empty()
    }

    pub(crate) fn is_suffix(&self) -> bool {
        self.target == "/suffix"
    }
}

/// Takes a transcript apart. What is no sequence of answers is a failure of the test.
pub(crate) fn parse(mut bytes: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let end = find(bytes, b"\r\n\r\n").expect("an answer has a whole head");
        let head = str::from_utf8(&bytes[..end]).expect("our heads are text");
        bytes = &bytes[end + 4..];
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1."));
        let status = status.and_then(|line| line.get(2..5)?.parse::<u16>().ok()).expect(head);
        let headers: Vec<_> = lines.filter_map(|line| line.split_once(": ")).collect();
        let header = |name| {
            let mut named = headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
            named.next().map_or("", |(_, value)| value)
        };
        assert_eq!(header("transfer-encoding"), "", "nothing here is answered in chunks");
        if status < 200 {
            continue;
        }
        let length: usize = header("content-length").parse().unwrap_or(0);
        // A refusal does not say what it answers: that it answers HEAD is seen from what follows.
        let no_body = bytes.is_empty() || bytes.starts_with(b"HTTP/1.");
        let length = match header("x-method") {
            "HEAD" => 0,
            "" if no_body => 0,
            _ => length,
        };
        assert!(length <= bytes.len(), "an answer is whole: {head}");
        let (body, rest) = bytes.split_at(length);
        bytes = rest;
        let (method, target) = (header("x-method").to_owned(), header("x-target").to_owned());
        answers.push(Answer { status, method, target, body: body.to_vec() });
    }
    answers
}

pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
