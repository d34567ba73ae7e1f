//! A plain HTTP/1.1 client: one request at a time on one connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;

/// Long enough for a server under valgrind.
const PATIENCE: Duration = Duration::from_secs(20);

/// A kept-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    request: String,
}

/// A status and a body.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects to a server under test.
    pub(crate) fn open(addr: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!("GET /greeting?name=Ann HTTP/1.1\r\nhost: {addr}\r\n\r\n");
        Ok(Self { stream, request })
    }

    /// Sends the one request.
    pub(crate) fn send(&mut self) -> Result<(), Failure> {
        Ok(self.stream.write_all(self.request.as_bytes())?)
    }

    /// Waits for the answer to it.
    pub(crate) fn receive(&mut self) -> Result<Answer, Failure> {
        let mut bytes = Vec::with_capacity(512);
        let mut chunk = [0; 512];
        loop {
            if let Some(answer) = parse(&bytes)? {
                return Ok(answer);
            }
            match self.stream.read(&mut chunk)? {
                0 => return Err("the server closed a connection".into()),
                read => bytes.extend_from_slice(&chunk[..read]),
            }
        }
    }

    /// Sends and receives, and fails on any status but 200.
    pub(crate) fn call(&mut self) -> Result<Vec<u8>, Failure> {
        self.send()?;
        let Answer { status, body } = self.receive()?;
        if status == 200 { Ok(body) } else { Err(format!("status {status}").into()) }
    }
}

/// The answer that `bytes` hold, or nothing while there are too few.
fn parse(bytes: &[u8]) -> Result<Option<Answer>, Failure> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end])?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .ok_or("an answer without content-length")?;
    let length: usize = length.1.trim().parse()?;
    let body = &bytes[end + 4..];
    Ok((length <= body.len()).then(|| Answer { status, body: body[..length].to_vec() }))
}

#[cfg(test)]
mod tests {
    use super::{Answer, parse};

    #[test]
    fn an_answer_is_complete_with_its_last_byte() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        for end in 0..bytes.len() {
            assert!(parse(&bytes[..end]).is_ok_and(|answer| answer.is_none()), "{end}");
        }
        let complete = parse(bytes).unwrap();
        assert_eq!(complete, Some(Answer { status: 200, body: b"hi".to_vec() }));
    }

    #[test]
    fn an_answer_of_unknown_length_is_refused() {
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
