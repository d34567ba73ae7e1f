//! A server in memory, raw bytes to it, and all that it answers.

use crate::oracle::{self, End, Request};
use purlin_serve::{MemoryDial, Server, memory};
use std::future::pending;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What goes behind bytes that are sent: it is answered only if the server agrees where they end.
pub const SUFFIX: &[u8] = b"GET /suffix HTTP/1.1\r\nHost: a\r\n\r\n";

/// What HTTP/2 begins with, which is answered in its own way.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Starts a server of everything that can be attacked, in this process.
pub fn start() -> MemoryDial {
    let (accept, dial) = memory();
    tokio::spawn(Server::new().serve(accept, crate::both(), pending()));
    dial
}

/// Sends bytes on a connection of their own, in two pieces, and reads until the server closes it.
/// The server's patience ends in paused time, so this never waits. There are no answers to HTTP/2.
pub async fn transcript(dial: &MemoryDial, bytes: &[u8]) -> Vec<Answer> {
    let stream = dial.connect().await.expect("the server accepts");
    let (mut read, mut write) = tokio::io::split(stream);
    let mut answers = Vec::new();
    let send = async {
        let (one, other) = bytes.split_at(bytes.len() / 2);
        // A server that has refused reads no further.
        let _ = write.write_all(one).await;
        tokio::task::yield_now().await;
        let _ = write.write_all(other).await;
    };
    let receive = read.read_to_end(&mut answers);
    let ((), read) = tokio::join!(send, receive);
    read.expect("a connection in memory is closed, not reset");
    if bytes.starts_with(PREFACE) { Vec::new() } else { parse(&answers) }
}

/// One answer of a transcript.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// The method that was understood; empty in a refusal.
    pub method: String,
    /// The target that was understood.
    pub target: String,
    /// The body, which is that of the request.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether this tells what was understood, and not why it was refused.
    pub fn is_echo(&self) -> bool {
        !self.method.is_empty()
    }

    /// Whether it answers [`SUFFIX`].
    pub fn is_suffix(&self) -> bool {
        self.target == "/suffix"
    }
}

/// Takes a transcript apart. What is no sequence of answers is a failure of the test.
pub fn parse(mut bytes: &[u8]) -> Vec<Answer> {
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

/// Has the server and the [`oracle`] read the same bytes, with [`SUFFIX`] behind. Gives the answers.
///
/// # Errors
///
/// What the two don't agree on.
pub async fn differ(dial: &MemoryDial, bytes: &[u8]) -> Result<Vec<Answer>, String> {
    let bytes = [bytes, SUFFIX].concat();
    let answers = transcript(dial, &bytes).await;
    let (requests, end) = oracle::read(&bytes);
    match compare(&answers, &requests, end) {
        Ok(()) => Ok(answers),
        Err(why) => Err(format!("{why}\n{}", bytes.escape_ascii())),
    }
}

/// What the two don't agree on, if anything. The server may refuse more than the oracle, for it has
/// limits; it must understand nothing else, and nothing more.
fn compare(answers: &[Answer], requests: &[Request], end: End) -> Result<(), String> {
    for (number, answer) in answers.iter().enumerate() {
        match requests.get(number) {
            Some(request) if answer.is_echo() => {
                // An answer to HEAD has no body to tell by.
                let same = answer.method == "HEAD" || request.body == answer.body;
                if request.method != answer.method.as_bytes() || !same {
                    return Err(format!("{answer:?} is not the answer to {request:?}"));
                }
            }
            None if answer.is_echo() => {
                return Err(format!("request {number} is none: {end:?}, {answer:?}"));
            }
            None if number > requests.len() => return Err("refused twice".to_owned()),
            // A refusal by the server closes the connection; one by the service need not.
            Some(_) | None => {}
        }
    }
    Ok(())
}

pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
