//! A strict reader of HTTP/1.1: what a connection's bytes mean, by the letter of RFC 9110 and 9112.
//!
//! It knows no limit of a size. Where the RFCs leave a choice it takes the one that the server has:
//! a bare LF ends a line of a head (RFC 9112, section 2.2), spaces may follow the size of a chunk,
//! what a chunk's extension says is passed over, and so is a `Connection` that is not text.

use crate::transcript::find;

/// One request, as it is to be understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Its method.
    pub method: Vec<u8>,
    /// All of its body, without what frames it.
    pub body: Vec<u8>,
    /// Whether this has to be the last one on its connection.
    pub last: bool,
}

/// Why the bytes behind the requests are no request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// There are none, or nobody is to look at them.
    Clean,
    /// They are the beginning of one.
    Unfinished,
    /// They can't become one.
    Wrong,
}

type Read<T> = Result<T, End>;

/// Reads a connection: its requests, and why there are no more.
pub fn read(mut bytes: &[u8]) -> (Vec<Request>, End) {
    let mut requests = Vec::new();
    loop {
        while let Some(rest) = bytes.strip_prefix(b"\r\n").or(bytes.strip_prefix(b"\n")) {
            bytes = rest;
        }
        if bytes.is_empty() {
            return (requests, End::Clean);
        }
        match request(&mut bytes) {
            Ok(request) => {
                let last = request.last;
                requests.push(request);
                if last {
                    return (requests, End::Clean);
                }
            }
            Err(end) => return (requests, end),
        }
    }
}

/// What the head says of the rest.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    /// Whether lengths are no numbers or not the same. It doesn't matter beside chunks.
    bad_length: bool,
    chunked: bool,
    hosts: usize,
    close: bool,
    keep_alive: bool,
}

fn request(bytes: &mut &[u8]) -> Read<Request> {
    let (method, minor, absolute) = request_line(line(bytes)?)?;
    let mut framing = Framing::default();
    loop {
        let line = line(bytes)?;
        if line.is_empty() {
            break;
        }
        field(line, &mut framing)?;
    }
    let hosts = if minor == 0 { framing.hosts < 2 } else { framing.hosts == 1 };
    // Chunks were not there before HTTP/1.1, so that nobody knows what such a request means.
    if !hosts || !absolute || (minor == 0 && framing.chunked) {
        return Err(End::Wrong);
    }
    if method == b"CONNECT" {
        // What follows goes through a tunnel, if there is to be one (RFC 9110, section 9.3.6).
        return Ok(Request { method, body: Vec::new(), last: true });
    }
    let body = match framing.length {
        _ if framing.chunked => chunks(bytes)?,
        Some(_) if framing.bad_length => return Err(End::Wrong),
        Some(length) => take(bytes, length)?,
        None => Vec::new(),
    };
    let both = framing.chunked && framing.length.is_some();
    let last = framing.close || both || (minor == 0 && !framing.keep_alive);
    Ok(Request { method, body, last })
}

/// The next line, without its end.
fn line<'a>(bytes: &mut &'a [u8]) -> Read<&'a [u8]> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(End::Unfinished)?;
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    *bytes = &bytes[end + 1..];
    Ok(line)
}

fn is_token(bytes: &[u8]) -> bool {
    let delimiter = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_alphanumeric() || delimiter(*b))
}

/// The method, the minor version, and whether a host of the target is one.
fn request_line(line: &[u8]) -> Read<(Vec<u8>, u8, bool)> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(End::Wrong);
    };
    let minor = match version {
        b"HTTP/1.0" => 0,
        b"HTTP/1.1" => 1,
        _ => return Err(End::Wrong),
    };
    let plain = |byte: &u8| *byte > b' ' && *byte != 0x7f;
    if !is_token(method) || target.is_empty() || !target.iter().all(plain) {
        return Err(End::Wrong);
    }
    let named = find(target, b"://").map(|at| &target[at + 3..]).filter(|_| target[0] != b'/');
    let authority = named.and_then(|rest| rest.split(|byte| b"/?#".contains(byte)).next());
    Ok((method.to_vec(), minor, authority.is_none_or(|name| !name.contains(&b'@'))))
}

fn field(line: &[u8], framing: &mut Framing) -> Read<()> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(End::Wrong)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let printable = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    if !is_token(name) || !value.iter().all(printable) {
        return Err(End::Wrong);
    }
    let value = value.trim_ascii();
    match &*name.to_ascii_lowercase() {
        b"host" => framing.hosts += 1,
        b"content-length" => {
            let length = number(value, 10).filter(|length| *length < u64::MAX - 1);
            framing.bad_length |=
                length.is_none() || framing.length.is_some_and(|l| Some(l) != length);
            framing.length = Some(length.unwrap_or_default());
        }
        b"transfer-encoding" => {
            if framing.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(End::Wrong);
            }
            framing.chunked = true;
        }
        // One that is no list of words says nothing, as far as the server sees it.
        b"connection" if value.is_ascii() => {
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                framing.close |= option.eq_ignore_ascii_case(b"close");
                framing.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        _ => {}
    }
    Ok(())
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(radix)?;
        number.checked_mul(radix.into())?.checked_add(digit.into())
    })
}

fn take(bytes: &mut &[u8], length: u64) -> Read<Vec<u8>> {
    let length = usize::try_from(length).map_err(|_| End::Unfinished)?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or(End::Unfinished)?;
    *bytes = rest;
    Ok(taken.to_vec())
}

/// Takes what has to stand here.
fn expect(bytes: &mut &[u8], wanted: &[u8]) -> Read<()> {
    let there = &bytes[..bytes.len().min(wanted.len())];
    if there == wanted {
        *bytes = &bytes[wanted.len()..];
        return Ok(());
    }
    Err(if wanted.starts_with(there) { End::Unfinished } else { End::Wrong })
}

fn chunks(bytes: &mut &[u8]) -> Read<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = strict_line(bytes)?;
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let size = number(size.trim_ascii_end(), 16).ok_or(End::Wrong)?;
        if size == 0 {
            return trailers(bytes).map(|()| body);
        }
        body.extend(take(bytes, size)?);
        expect(bytes, b"\r\n")?;
    }
}

/// The next line, which has to end in CR LF and to have neither by itself.
fn strict_line<'a>(bytes: &mut &'a [u8]) -> Read<&'a [u8]> {
    let end = bytes.iter().position(|byte| b"\r\n".contains(byte)).ok_or(End::Unfinished)?;
    let (line, rest) = bytes.split_at(end);
    *bytes = rest;
    expect(bytes, b"\r\n").map(|()| line)
}

fn trailers(bytes: &mut &[u8]) -> Read<()> {
    loop {
        let line = strict_line(bytes)?;
        if line.is_empty() {
            return Ok(());
        }
        // What it says of the framing comes too late to mean anything.
        let name = line.iter().position(|byte| *byte == b':').ok_or(End::Wrong)?;
        let harmless = [b"x", &line[name..]].concat();
        if !is_token(&line[..name]) {
            return Err(End::Wrong);
        }
        field(&harmless, &mut Framing::default())?;
    }
}
