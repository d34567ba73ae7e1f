use crate::{
    Level, Value,
    color::{DIM, PLAIN, color_of},
    escape::{Wants, bare_key, escape, escape_from, wants},
    timestamp,
    value::Kind,
};
use purlin_endpoint::{Method, Peer, catch_panic};
use std::{
    fmt::{self, Write as _},
    net::SocketAddr,
    str::FromStr,
    time::{Duration, SystemTime},
};

/// How lines are written.
///
/// In every format a line is one line: control characters, line breaks and marks that turn the
/// direction of writing come out escaped, whatever the message, the keys and the values are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Format {
    /// `ts=… level=info msg=listening addr=127.0.0.1:9110`, as Go's logfmt has it.
    #[default]
    Logfmt,
    /// `{"ts":"…","level":"info","msg":"listening","addr":"127.0.0.1:9110"}`.
    Json,
    /// `… INFO  listening addr=127.0.0.1:9110`, for people.
    Pretty,
    /// The same in colour, whatever it is written to. [`for_people`](Self::for_people) asks first.
    Color,
}

impl Format {
    /// Writes all that stands before a line's own fields.
    pub(crate) fn begin(self, out: &mut Vec<u8>, at: SystemTime, level: Level, message: &str) {
        match self {
            Self::Logfmt => {
                out.extend_from_slice(b"ts=");
                timestamp::write(out, at);
                out.extend_from_slice(b" level=");
                out.extend_from_slice(level.as_str().as_bytes());
                out.extend_from_slice(b" msg=");
                self.text(out, |out| out.extend_from_slice(message.as_bytes()));
            }
            Self::Json => {
                out.extend_from_slice(b"{\"ts\":\"");
                timestamp::write(out, at);
                out.extend_from_slice(b"\",\"level\":\"");
                out.extend_from_slice(level.as_str().as_bytes());
                out.extend_from_slice(b"\",\"msg\":");
                self.text(out, |out| out.extend_from_slice(message.as_bytes()));
            }
            Self::Pretty => {
                timestamp::write(out, at);
                out.push(b' ');
                out.extend_from_slice(level.padded().as_bytes());
                out.push(b' ');
                escape(out, message);
            }
            Self::Color => {
                out.extend_from_slice(DIM);
                timestamp::write(out, at);
                out.extend_from_slice(PLAIN);
                out.push(b' ');
                out.extend_from_slice(color_of(level));
                out.extend_from_slice(level.padded().as_bytes());
                out.extend_from_slice(PLAIN);
                out.push(b' ');
                escape(out, message);
            }
        }
    }

    pub(crate) fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self {
            Self::Json => b"}\n",
            Self::Logfmt | Self::Pretty | Self::Color => b"\n",
        });
    }

    /// Writes the key of a field, and what stands around it.
    #[inline]
    pub(crate) fn known_key(self, out: &mut Vec<u8>, key: Key) {
        match self {
            Self::Json => out.extend_from_slice(key.json.as_bytes()),
            Self::Logfmt | Self::Pretty => out.extend_from_slice(key.plain.as_bytes()),
            Self::Color => {
                out.extend_from_slice(DIM);
                out.extend_from_slice(key.plain.as_bytes());
                out.extend_from_slice(PLAIN);
            }
        }
    }

    /// Writes a text that needs no escape in any format.
    #[inline]
    pub(crate) fn known(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        if self == Self::Json {
            out.push(b'"');
        }
        write(out);
        if self == Self::Json {
            out.push(b'"');
        }
    }

    pub(crate) fn key(self, out: &mut Vec<u8>, key: &str) {
        match self {
            Self::Json => {
                out.push(b',');
                self.text(out, |out| out.extend_from_slice(key.as_bytes()));
                out.push(b':');
            }
            Self::Logfmt | Self::Pretty => {
                out.push(b' ');
                bare_key(out, key);
                out.push(b'=');
            }
            Self::Color => {
                out.extend_from_slice(DIM);
                Self::Pretty.key(out, key);
                out.extend_from_slice(PLAIN);
            }
        }
    }

    pub(crate) fn value(self, out: &mut Vec<u8>, value: Value<'_>) {
        let mut integer = itoa::Buffer::new();
        match value.0 {
            Kind::Null => out.extend_from_slice(b"null"),
            Kind::Bool(true) => out.extend_from_slice(b"true"),
            Kind::Bool(false) => out.extend_from_slice(b"false"),
            Kind::Signed(number) => out.extend_from_slice(integer.format(number).as_bytes()),
            Kind::Unsigned(number) => out.extend_from_slice(integer.format(number).as_bytes()),
            Kind::Float(number) if number.is_finite() => display(out, &number),
            // JSON has no number for these.
            Kind::Float(number) => self.text(out, |out| display(out, &number)),
            Kind::Text(text) => self.text(out, |out| out.extend_from_slice(text.as_bytes())),
            Kind::Display(value) => self.text(out, |out| display(out, value)),
            Kind::Duration(duration) => {
                self.text(out, |out| display(out, &format_args!("{duration:?}")));
            }
        }
    }

    pub(crate) fn method(self, out: &mut Vec<u8>, method: &Method) {
        self.text(out, |out| {
            out.extend_from_slice(method.service().as_bytes());
            out.push(b'/');
            out.extend_from_slice(method.name().as_bytes());
        });
    }

    pub(crate) fn peer(self, out: &mut Vec<u8>, peer: &Peer) {
        match peer {
            Peer::Tcp(SocketAddr::V4(address)) => self.known(out, |out| {
                for (octet, after) in address.ip().octets().into_iter().zip(*b"...:") {
                    small(out, octet);
                    out.push(after);
                }
                out.extend_from_slice(itoa::Buffer::new().format(address.port()).as_bytes());
            }),
            peer => self.text(out, |out| display(out, peer)),
        }
    }

    /// Writes a text as one value, quoted where the format wants it.
    ///
    /// It is written as it is first: most texts need nothing else, and what a value displays can't
    /// be known before.
    pub(crate) fn text(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        if self == Self::Json {
            out.push(b'"');
        }
        let start = out.len();
        write(out);
        let wants = wants(&out[start..]);
        match self {
            Self::Json if wants == Wants::Escapes => escape_from(out, start),
            Self::Json => out.push(b'"'),
            _ if wants == Wants::Nothing => {}
            Self::Logfmt | Self::Pretty | Self::Color => {
                out.insert(start, b'"');
                match wants {
                    Wants::Escapes => escape_from(out, start + 1),
                    Wants::Quotes | Wants::Nothing => out.push(b'"'),
                }
            }
        }
    }
}

/// The key of a field of ours, as each format has it.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) plain: &'static str,
    pub(crate) json: &'static str,
}

fn small(out: &mut Vec<u8>, number: u8) {
    if number >= 100 {
        out.push(b'0' + number / 100);
    }
    if number >= 10 {
        out.push(b'0' + number / 10 % 10);
    }
    out.push(b'0' + number % 10);
}

/// Writes a number of milliseconds, to the microsecond.
pub(crate) fn millis(out: &mut Vec<u8>, duration: Duration) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let mut whole = itoa::Buffer::new();
    out.extend_from_slice(whole.format(micros / 1000).as_bytes());
    let rest = (micros % 1000) as u16;
    let [a, b, c] = [rest / 100, rest / 10 % 10, rest % 10].map(|digit| b'0' + digit as u8);
    out.extend_from_slice(&[b'.', a, b, c]);
}

/// Takes what is displayed.
struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Writes what the value displays. A value that fails or panics loses its own text, not the line.
pub(crate) fn display(out: &mut Vec<u8>, value: &dyn fmt::Display) {
    let start = out.len();
    if catch_panic(|| write!(Text(out), "{value}").ok()).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"panicked while it was displayed");
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        match name {
            "logfmt" => Ok(Self::Logfmt),
            "json" => Ok(Self::Json),
            "pretty" => Ok(Self::Pretty),
            "color" => Ok(Self::Color),
            _ => Err(UnknownFormat),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Logfmt => "logfmt",
            Self::Json => "json",
            Self::Pretty => "pretty",
            Self::Color => "color",
        })
    }
}

/// The text is not the name of a [`Format`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownFormat;

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a format is logfmt, json, pretty or color")
    }
}

impl std::error::Error for UnknownFormat {}
