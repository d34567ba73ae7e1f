//! Where the HTTP/1 requests of a connection begin and end.

use memchr::{memchr, memchr2};

/// Follows the requests that a peer sends, and finds two things in them that hyper takes and RFC
/// 9112 has us refuse.
///
/// - A line of a trailer section that ends in LF alone (section 7.1, 2.2). Hyper looks for CR LF CR
///   LF there, and then drops what stands behind the first empty line before it, of which another
///   reader makes the next request.
/// - A `#` in a target (section 3.2), which is gone before a service sees it.
///
/// It keeps no bytes. Of a head it looks at the first letters of each line, and bodies and chunks
/// are skipped. What it doesn't understand is not judged: hyper refuses that, and reads no further.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    at: At,
    /// Whether the head so far names a transfer coding. Hyper refuses all but chunks.
    chunked: bool,
    /// The body's length, as far as the head has told it.
    length: u64,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum At {
    /// An empty line before a request, or its first byte.
    #[default]
    Start,
    /// A request line, and whether its method is over.
    RequestLine { target: bool },
    /// The beginning of a line in a head.
    Line,
    /// The name of a field that may be one of two, of which these letters are still to come.
    Name { rest: &'static [u8], chunked: bool },
    /// The value of `Content-Length`.
    Length,
    /// What doesn't matter, to the end of its line in a head.
    Rest,
    /// So many bytes of a body.
    Body { left: u64 },
    /// The size of a chunk.
    Size { size: u64 },
    /// What stands behind that size.
    Extension { size: u64 },
    /// So many bytes of a chunk, with its CR LF.
    Chunk { left: u64 },
    /// A line of a trailer section: how much of it there was, and whether a CR came last.
    Trailer { length: u64, cr: bool },
}

/// The position of a byte at which reading has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loose(pub(crate) usize);

impl Framing {
    /// Looks at the next bytes. A `#` in a target becomes a byte for which hyper answers 400.
    ///
    /// # Errors
    ///
    /// Where a line of a trailer section ends in LF alone.
    pub(crate) fn follow(&mut self, bytes: &mut [u8]) -> Result<(), Loose> {
        let mut next = 0;
        while next < bytes.len() {
            next += self.step(&mut bytes[next..]).map_err(|Loose(at)| Loose(next + at))?;
        }
        Ok(())
    }

    /// Takes some of the bytes, of which there is at least one, and says how many.
    fn step(&mut self, bytes: &mut [u8]) -> Result<usize, Loose> {
        let first = bytes[0];
        match self.at {
            At::Start => {
                if first != b'\r' && first != b'\n' {
                    *self = Self { at: At::RequestLine { target: false }, ..Self::default() };
                    return Ok(0);
                }
            }
            At::RequestLine { target } => return Ok(self.request_line(bytes, target)),
            At::Line => match first {
                b'\n' => self.at = self.body(),
                // The LF behind it ends the head. Hyper takes nothing else there.
                b'\r' => {}
                b't' | b'T' => self.at = At::Name { rest: b"ransfer-encoding:", chunked: true },
                b'c' | b'C' => self.at = At::Name { rest: b"ontent-length:", chunked: false },
                _ => self.at = At::Rest,
            },
            At::Name { rest, chunked } => return Ok(self.name(first, rest, chunked)),
            At::Length => match first {
                b'0'..=b'9' => {
                    let digit = u64::from(first - b'0');
                    self.length = self.length.saturating_mul(10).saturating_add(digit);
                }
                b'\n' => self.at = At::Line,
                // Spaces may stand around it. For anything else hyper refuses the request.
                _ => {}
            },
            At::Rest => return Ok(self.pass_line(bytes, At::Line)),
            At::Body { left } => {
                return Ok(self.pass(bytes, left, At::Start, |left| At::Body { left }));
            }
            At::Size { size } => match char::from(first).to_digit(16) {
                // Hyper refuses what is larger than it can count.
                Some(digit) => {
                    let size = size.saturating_mul(16).saturating_add(digit.into());
                    self.at = At::Size { size };
                }
                None => {
                    self.at = At::Extension { size };
                    return Ok(0);
                }
            },
            At::Extension { size } => {
                let next = match size {
                    0 => At::Trailer { length: 0, cr: false },
                    _ => At::Chunk { left: size.saturating_add(2) },
                };
                return Ok(self.pass_line(bytes, next));
            }
            At::Chunk { left } => {
                let next = At::Size { size: 0 };
                return Ok(self.pass(bytes, left, next, |left| At::Chunk { left }));
            }
            At::Trailer { length, cr } => return self.trailer(bytes, length, cr),
        }
        Ok(1)
    }

    fn request_line(&mut self, bytes: &mut [u8], target: bool) -> usize {
        let Some(at) = memchr2(b'\n', b'#', bytes) else {
            self.at = At::RequestLine { target: target || memchr(b' ', bytes).is_some() };
            return bytes.len();
        };
        if bytes[at] == b'\n' {
            self.at = At::Line;
            return at + 1;
        }
        // A method may have one in it.
        let target = target || memchr(b' ', &bytes[..at]).is_some();
        if target {
            bytes[at] = 0;
        }
        self.at = At::RequestLine { target };
        at + 1
    }

    fn name(&mut self, byte: u8, rest: &'static [u8], chunked: bool) -> usize {
        match rest {
            [wanted, rest @ ..] if byte.eq_ignore_ascii_case(wanted) => {
                self.at = match (rest, chunked) {
                    ([], true) => {
                        self.chunked = true;
                        At::Rest
                    }
                    ([], false) => {
                        // Hyper refuses two that differ.
                        self.length = 0;
                        At::Length
                    }
                    _ => At::Name { rest, chunked },
                };
                1
            }
            _ => {
                self.at = At::Rest;
                0
            }
        }
    }

    /// What comes behind the head.
    fn body(&self) -> At {
        match (self.chunked, self.length) {
            (true, _) => At::Size { size: 0 },
            (false, 0) => At::Start,
            (false, left) => At::Body { left },
        }
    }

    fn pass_line(&mut self, bytes: &[u8], next: At) -> usize {
        match memchr(b'\n', bytes) {
            Some(at) => {
                self.at = next;
                at + 1
            }
            None => bytes.len(),
        }
    }

    fn pass(&mut self, bytes: &[u8], left: u64, next: At, still: fn(u64) -> At) -> usize {
        let there = bytes.len() as u64;
        if there < left {
            self.at = still(left - there);
            return bytes.len();
        }
        self.at = next;
        left as usize
    }

    fn trailer(&mut self, bytes: &[u8], length: u64, cr: bool) -> Result<usize, Loose> {
        let Some(at) = memchr(b'\n', bytes) else {
            let length = length.saturating_add(bytes.len() as u64);
            self.at = At::Trailer { length, cr: bytes.last() == Some(&b'\r') };
            return Ok(bytes.len());
        };
        let cr = if at == 0 { cr } else { bytes[at - 1] == b'\r' };
        if !cr {
            return Err(Loose(at));
        }
        let is_last = length + at as u64 == 1;
        self.at = if is_last { At::Start } else { At::Trailer { length: 0, cr: false } };
        Ok(at + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where it ends, and what it makes of the bytes, whichever way they are split in two.
    fn follow(text: &str) -> (Option<usize>, At, String) {
        let whole = pieces(text, text.len());
        for at in 0..text.len() {
            assert_eq!(pieces(text, at), whole, "split at {at}: {text:?}");
        }
        whole
    }

    fn pieces(text: &str, at: usize) -> (Option<usize>, At, String) {
        let mut bytes = text.as_bytes().to_vec();
        let mut framing = Framing::default();
        let (one, other) = bytes.split_at_mut(at);
        let end = match framing.follow(one) {
            Ok(()) => framing.follow(other).err().map(|Loose(end)| at + end),
            Err(Loose(end)) => Some(end),
        };
        // Where it ends by force, it is nowhere any more.
        let there = if end.is_some() { At::Start } else { framing.at };
        (end, there, String::from_utf8(bytes).unwrap())
    }

    fn chunked(rest: &str) -> (Option<usize>, At, String) {
        let head = "POST / HTTP/1.1\r\nHost: a\r\ntRansfer-eNcoding: chunked\r\n\r\n";
        let (end, at, bytes) = follow(&format!("{head}{rest}"));
        (end.map(|end| end - head.len()), at, bytes)
    }

    #[test]
    fn requests_of_every_framing_end_where_they_end() {
        for text in [
            "",
            "\r\n\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
            "PUT / HTTP/1.1\r\ncontent-LENGTH:\t 05 \r\nContent-Type: a\r\n\r\nhello",
            "PUT / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n\n\n\n\n\n",
            "PUT / HTTP/1.1\r\nContent-Lengt: 5\r\nTransfer-Encodin: chunked\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "PUT / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        ] {
            assert_eq!(follow(text), (None, At::Start, text.to_owned()));
            assert_eq!(follow(&text.repeat(2)).1, At::Start, "{text:?} twice");
        }
        for rest in [
            "5\r\nhello\r\n0\r\n\r\n",
            "00a;a=\"b\" ; c\r\n\n\n\n\n\n\n\n\n\n\n\r\n1 \r\n0\r\n000\r\n\r\n",
            "0\r\nA: b\r\nC: d\r\n\r\n",
        ] {
            let (end, at, _) = chunked(rest);
            assert_eq!((end, at), (None, At::Start), "{rest:?}");
        }
    }

    #[test]
    fn a_line_of_trailers_that_ends_in_lf_alone_ends_the_reading() {
        for (rest, end) in [
            ("0\r\n\n", 3),
            ("0\r\nA: b\n\r\n", 7),
            ("0\r\nA: b\n\nGET /admin HTTP/1.1\r\n\r\n", 7),
            ("5\r\nhello\r\n0\r\nA: b\r\n\n", 19),
            ("0\r\nA: b\r\nC: d\nE: f\r\n\r\n", 13),
        ] {
            assert_eq!(chunked(rest).0, Some(end), "{rest:?}");
        }
    }

    #[test]
    fn only_trailers_are_judged() {
        let length = "PUT / HTTP/1.1\r\nContent-Length: 14\r\n\r\n0\r\nA: b\n\r\nhell";
        assert_eq!(follow(length).0, None);
        assert_eq!(chunked("8\r\n0\r\n\nA\n\r\n\r\n0\r\n\r\n").0, None);
    }

    #[test]
    fn a_fragment_becomes_what_nobody_takes() {
        let refused = |text: &str| follow(text).2.contains('\0');
        assert!(refused("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(refused("GET # HTTP/1.1\r\n\r\n"));
        assert!(refused("GET / HTTP/1.1\r\n\r\nGET /#\n"));
        assert!(!refused("A#B / HTTP/1.1\r\nHost: a\r\nColour: #fff\r\n\r\n"));
        assert!(!refused("PUT / HTTP/1.1\r\nContent-Length: 4\r\n\r\n/ /#"));
    }
}
